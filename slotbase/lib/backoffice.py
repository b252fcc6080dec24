"""The back office: every admin page of the product is a `BackOfficeAdmin`.

It starts closed. A page is read-only until its class lists editable fields, nothing can
be added or deleted until it says so, staff see the rows of their own venues, and a list
costs the same however long its table is. Django's permissions decide on top of that.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.exceptions import (
    DisallowedModelAdminLookup,
    DisallowedModelAdminToField,
)
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import flatten_fieldsets
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from slotbase.lib.columns import follow
from slotbase.lib.typed import guard

Row = TypeVar("Row", bound=Model)
Parent = TypeVar("Parent", bound=Model)

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline
    ModelForm = forms.ModelForm
else:  # Django's own cannot be subscripted at run time

    class ModelAdmin(admin.ModelAdmin):
        __class_getitem__ = classmethod(lambda cls, _: cls)

    class TabularInline(admin.TabularInline):
        __class_getitem__ = classmethod(lambda cls, _: cls)

    class ModelForm(forms.ModelForm):
        __class_getitem__ = classmethod(lambda cls, _: cls)


SEE_CONTACT_DATA = "accounts.see_contact_data"
GROUPS_OF_ALL_VENUES = ("operations", "auditor")
# They see what belongs to no venue.
SUPPORT = ("support", "support_lead")
MIN_SEARCH_LENGTH = 3

# The browser's own pickers: no script, and good on a phone.
NATIVE_PICKERS: dict[Any, dict[str, Any]] = {
    models.DateField: {"widget": forms.DateInput({"type": "date"}, format="%Y-%m-%d")},
    models.TimeField: {"widget": forms.TimeInput({"type": "time"}, format="%H:%M")},
}

# The lookups of the filters that a name in `list_filter` stands for.
_ASKED_OF_A_FIELD = ("", "__exact", "__id__exact", "__isnull")


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `limit`, so that a list of millions opens at once."""

    limit = 1000

    @cached_property
    def count(self) -> int:
        """How many rows can be paged through; search and filters reach the others."""
        rows: Any = self.object_list
        number: int = rows.order_by()[: self.limit].count()
        return number

    @property
    def is_capped(self) -> bool:
        """Whether there may be more rows than can be paged through."""
        return self.count == self.limit


class ConditionFilter(admin.SimpleListFilter):
    """A filter that is a table: each value with its name and its condition."""

    conditions: ClassVar[dict[str, tuple[str, Q | Callable[[], Q]]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Values and names."""
        return [(value, name) for value, (name, _) in self.conditions.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Rows that meet the chosen condition."""
        _, condition = self.conditions.get(self.value() or "", ("All", Q()))
        return queryset.filter(condition() if callable(condition) else condition)


class OwnRowsFilter(admin.RelatedFieldListFilter):
    """Offers the related rows that this person may see, such as their own venues."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[Any]:
        """Id and name of each."""
        page = model_admin.admin_site.get_model_admin(field.remote_field.model)
        return [(str(row.pk), str(row)) for row in page.get_queryset(request)]


class GuardedFields:
    """What is typed into a page is refused as in any other form."""

    def formfield_for_dbfield(self, *args: Any, **kwargs: Any) -> Any:
        """The field of a column."""
        return guard(super().formfield_for_dbfield(*args, **kwargs))  # type: ignore[misc]


class BackOfficeAdmin(GuardedFields, ModelAdmin[Row]):
    """The base of all pages; `fieldsets` lists all that a page shows."""

    #: From a row to its venue, such as `resource__venue`; empty if it has none.
    venue_path: ClassVar[str] = ""
    #: What can be changed at any time, and what only when a row is added.
    editable_fields: ClassVar[Sequence[str]] = ()
    set_once: ClassVar[Sequence[str]] = ()
    #: What is shown and searched only with the permission to see contact data.
    private_fields: ClassVar[Sequence[str]] = ()
    can_add: ClassVar[bool] = False
    can_delete: ClassVar[bool] = False

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator: ClassVar[type] = CappedPaginator
    formfield_overrides: ClassVar[Any] = NATIVE_PICKERS

    # --- What may be done ----------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """What the class allows and the person's permission."""
        return self.can_add and super().has_add_permission(request)

    def has_change_permission(
        self, request: HttpRequest, obj: Row | None = None
    ) -> bool:
        """What the class allows and the person's permission."""
        may_change = super().has_change_permission(request, obj)
        return bool(self.editable_fields) and may_change

    def has_delete_permission(
        self, request: HttpRequest, obj: Row | None = None
    ) -> bool:
        """What the class allows and the person's permission."""
        return self.can_delete and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Nothing is ever deleted in bulk."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002
        obj: Row,
        form: Any,
        change: Any,
    ) -> None:
        """Write only what was typed: other columns may have changed meanwhile."""
        columns = {field.name for field in self.opts.concrete_fields}
        changed = columns.intersection(form.changed_data)
        obj.save(update_fields=changed if change else None)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list that is asked for.

        Raises:
            IncorrectLookupParameters: by a filter that it does not have. Django takes
                that for an attack and logs where it came from, line by line; here it is
                an old bookmark, and the list says so.
        """
        try:
            return super().get_changelist_instance(request)
        except (DisallowedModelAdminLookup, DisallowedModelAdminToField):
            raise IncorrectLookupParameters from None

    # --- What is shown -------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Row]:
        """Rows of the venues where this person works."""
        rows, user = super().get_queryset(request), cast("Any", request.user)
        if not self.venue_path or sees_all_venues(user):
            return rows
        return rows.filter(**{f"{self.venue_path}__in": user.venues.all()})

    def get_field_queryset(
        self, db: str | None, db_field: Any, request: HttpRequest
    ) -> QuerySet[Any] | None:
        """A field that points to other rows offers those that this person sees."""
        model = db_field.remote_field.model
        if not self.admin_site.is_registered(model):
            return super().get_field_queryset(db, db_field, request)
        return self.admin_site.get_model_admin(model).get_queryset(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Row], search_term: str
    ) -> tuple[QuerySet[Row], bool]:
        """One or two letters find nothing: they would find everything."""
        if 0 < len(search_term.strip()) < MIN_SEARCH_LENGTH:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:  # noqa: ARG002
        """Only what a filter on the page asks: other columns may be private."""
        asked: set[str] = set()
        for each in self.get_list_filter(request):
            if isinstance(each, type):
                asked.add(getattr(each, "parameter_name", ""))
            else:
                field = each[0] if isinstance(each, tuple) else each
                asked |= {f"{field}{each}" for each in _ASKED_OF_A_FIELD}
        return lookup in asked

    def hidden_fields(
        self,
        request: HttpRequest,
        obj: Row | None = None,  # noqa: ARG002 - for subclasses
    ) -> Sequence[str]:
        """What this person does not see: of a row, or of all rows."""
        return () if request.user.has_perm(SEE_CONTACT_DATA) else self.private_fields

    def get_fieldsets(self, request: HttpRequest, obj: Row | None = None) -> list[Any]:
        """What there is to see of a row, or to give when one is added."""
        hidden = self.hidden_fields(request, obj)
        given = {*self.set_once, *self.editable_fields}
        cards = [
            (
                name,
                {
                    **card,
                    "fields": [
                        field
                        for field in card["fields"]
                        if field not in hidden and (obj or field in given)
                    ],
                },
            )
            for name, card in self.fieldsets or ()
        ]
        return [(name, card) for name, card in cards if card["fields"]]

    def get_readonly_fields(
        self, request: HttpRequest, obj: Row | None = None
    ) -> list[Any]:
        """All that cannot be changed, now that the row is there."""
        editable = {*self.editable_fields, *(() if obj else self.set_once)}
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [field for field in shown if field not in editable]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns that this person may see."""
        hidden = self.hidden_fields(request)
        return [each for each in self.list_display if each not in hidden]

    def get_search_fields(self, request: HttpRequest) -> list[Any]:
        """What this person may not see can not be searched either."""
        hidden = self.hidden_fields(request)
        return [each for each in self.search_fields if each not in hidden]

    def zone_of(self, row: Row) -> tzinfo:
        """The time zone in which a row is shown: its venue's."""
        if not self.venue_path:
            return UTC
        zone: tzinfo = follow(row, self.venue_path).zone
        return zone


class BackOfficeInline(GuardedFields, TabularInline[Row, Parent]):
    """Rows below their parent: seen by all who see it, changed only if allowed here."""

    extra = 0
    can_delete = False
    formfield_overrides = NATIVE_PICKERS

    def has_view_permission(
        self,
        request: HttpRequest,  # noqa: ARG002
        obj: Parent | None = None,  # noqa: ARG002
    ) -> bool:
        """The parent's page was permitted."""
        return True


def sees_all_venues(user: Any) -> bool:
    """Whether a person is not bound to venues."""
    groups = user.groups.filter(name__in=GROUPS_OF_ALL_VENUES)
    return bool(user.is_superuser or groups.exists())


def of_own_venues(rows: QuerySet[Any], user: Any, path: str) -> QuerySet[Any]:
    """Those of the venues where a person works; of no venue, for support."""
    if sees_all_venues(user):
        return rows
    are_theirs = Q(**{f"{path}__in": user.venues.all()})
    if user.groups.filter(name__in=SUPPORT).exists():
        are_theirs |= Q(**{f"{path}__isnull": True})
    return rows.filter(are_theirs)


def works_at(user: Any, venue_id: int | None) -> bool:
    """Whether a person sees what belongs to this venue, or to none."""
    if sees_all_venues(user):
        return True
    if venue_id is None:
        return bool(user.groups.filter(name__in=SUPPORT).exists())
    return bool(user.venues.filter(pk=venue_id).exists())
