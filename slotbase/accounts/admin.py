"""Back office: people, venues and groups."""

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, ClassVar, cast
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import admin as stock
from django.contrib.auth.forms import UserCreationForm, UsernameField
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from recovery import audit
from recovery.backoffice import HISTORY, AuditedAdmin
from slotbase.accounts.models import User, Venue, VenueStaff
from slotbase.accounts.services.venues import tell_moved_clocks
from slotbase.lib.backoffice import (
    BackOfficeAdmin,
    BackOfficeInline,
    ConditionFilter,
    ModelForm,
)
from slotbase.lib.columns import format_state, venue_time


class KindFilter(ConditionFilter):
    """How a person signs in, if at all."""

    title, parameter_name = "kind", "kind"
    conditions = {
        "staff": ("Staff", Q(is_staff=True)),
        "customer": ("Customers", Q(clerk_id__isnull=False)),
        "walk_in": ("Walk-ins", Q(is_staff=False, clerk_id__isnull=True)),
    }


class StaffCreationForm(UserCreationForm):  # type: ignore[type-arg]
    """A new member of staff: a login without rights, which groups give."""

    class Meta(UserCreationForm.Meta):
        model = User
        fields = ("username", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The column may be null, for those who do not sign in here.
        username = cast("UsernameField", self.fields["username"])
        username.required, username.empty_value = True, ""
        self.instance.is_staff = True


class WorkplaceInline(BackOfficeInline[VenueStaff, User]):
    """The venues whose rows a member of staff sees."""

    model = VenueStaff
    fields = ("venue",)
    verbose_name, verbose_name_plural = "venue", "works at"
    can_delete = True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may give a place of work may take it away."""
        return self.has_change_permission(request, obj)


@admin.register(User)
class UserAdmin(AuditedAdmin[User], stock.UserAdmin):  # type: ignore[type-arg]
    """Customers and staff. Operations gives staff their groups and passwords."""

    audit_subject = "user"
    private_fields = ("email", "phone")
    can_add = True
    add_form = StaffCreationForm
    form = ModelForm[User]
    inlines = (WorkplaceInline,)
    editable_fields = ("name", "is_active", "groups")
    formfield_overrides = {
        models.ManyToManyField: {"widget": forms.CheckboxSelectMultiple}
    }
    filter_horizontal = ()
    staff_only = ("username", "password_state", "last_seen", "groups", "is_superuser")
    customers_only: ClassVar[tuple[Any, ...]] = ("clerk_id", "locale")
    fieldsets: ClassVar[tuple[Any, ...]] = (
        ("Person", {"fields": ("kind", "name", "email", "phone", "locale", "created")}),
        (
            "Sign-in",
            {
                "fields": (
                    *("username", "clerk_id", "is_active"),
                    *("password_state", "last_seen"),
                )
            },
        ),
        ("Rights", {"fields": ("groups", "is_superuser")}),
        HISTORY,
    )
    add_fieldsets = (
        ("Member of staff", {"fields": ("username", "name")}),
        ("Password", {"fields": ("password1", "password2")}),
    )
    list_display = ("__str__", "kind", "email", "phone", "is_active", "created")
    list_filter = (KindFilter, "is_active", "groups")
    search_fields = ("name", "username", "clerk_id__exact", *private_fields)
    search_help_text = "Name, login, phone or e-mail"
    ordering = ("-id",)
    created = venue_time("created_at", "known since")
    last_seen = venue_time("last_login", "last sign-in")

    def has_change_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        """Nobody changes their own rights, and only a superuser a superuser."""
        is_beyond = obj is not None and (
            obj == request.user or (obj.is_superuser and not request.user.is_superuser)
        )
        return not is_beyond and super().has_change_permission(request, obj)

    def hidden_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> tuple[Any, ...]:
        """Also what does not concern this kind of person."""
        hidden = tuple(super().hidden_fields(request, obj))
        if obj is None:
            return hidden
        hidden += self.customers_only if obj.is_staff else self.staff_only
        if not self.has_change_permission(request, obj):
            hidden += ("password_state",)
        return hidden

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> list[Any]:
        """A login is added by another form than it is changed."""
        if obj is None:
            return list(self.add_fieldsets)
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> list[Any]:
        """Nothing where a login is added."""
        return super().get_readonly_fields(request, obj) if obj else []

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:  # noqa: ARG002
        """Customers work nowhere."""
        return self.inlines if obj and obj.is_staff else ()

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: Any
    ) -> None:
        """Rights are worth an entry of their own: which groups before and after."""
        before = names_of_groups(form.instance)
        super().save_related(request, form, formsets, change)
        after = names_of_groups(form.instance)
        if after != before:
            audit.record(
                actor=audit.Actor.staff(request.user.pk),
                action="user.regrouped",
                subject="user",
                ids=[form.instance.pk],
                reason=f"from {before} to {after}"[:200],
            )

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's signature
        form_url: str = "",
    ) -> HttpResponse:
        """Staff only: customers sign in with Clerk. Saved with its audit entry."""
        user = self.get_object(request, id)
        if user is not None and not user.is_staff:
            raise PermissionDenied
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    @admin.display(description="kind")
    def kind(self, user: User) -> SafeString:
        """Staff, customer or walk-in."""
        if user.is_staff:
            return format_state("STAFF")
        return format_state("CUSTOMER" if user.clerk_id else "WALK_IN")

    @admin.display(description="password")
    def password_state(self, user: User) -> SafeString:
        """Whether there is one, and the way to another."""
        words = "Set a new one" if user.has_usable_password() else "None yet: set one"
        url = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('<a href="{}">{}</a>', url, words)


def add_card(name: str, *fields: Callable[[User], Any]) -> None:
    """Let a floor above show more of a customer: functions with a description."""
    *cards, history = UserAdmin.fieldsets
    UserAdmin.fieldsets = (
        *cards,
        (name, {"fields": fields, "classes": ("wide",)}),
        history,
    )
    UserAdmin.customers_only = (*UserAdmin.customers_only, *fields)


def names_of_groups(user: User) -> str:
    """The groups of a person: `front_desk, manager`."""
    names = user.groups.order_by("name").values_list("name", flat=True)
    return ", ".join(names) or "none"


CLOCKS_ARE_MOVED = (
    "Opening hours and closures follow the new clocks. Bookings stay at their instants:"
    " those whose local time is another one now appear as cases within a minute."
)


class VenueForm(ModelForm[Venue]):
    """Offers the time zones there are."""

    time_zone = forms.ChoiceField(
        choices=lambda: [(name, name) for name in sorted(available_timezones())],
        help_text="Bookings stay at their instants when it is changed: managers get a"
        " case for each of those to come.",
    )


class TeamInline(BackOfficeInline[VenueStaff, Venue]):
    """Who works here; changed on the page of each person."""

    model = VenueStaff
    fields = readonly_fields = ("user",)
    verbose_name_plural = "people who work here"
    max_num = 0


@admin.register(Venue)
class VenueAdmin(AuditedAdmin[Venue]):
    """Places with their own clock, money and staff."""

    audit_subject = "venue"
    venue_path = "pk"
    form = VenueForm
    inlines = (TeamInline,)
    can_add = True
    # Prices were meant in it.
    set_once = ("slug", "currency")
    editable_fields = ("name", "address", "time_zone", "quiet_from", "quiet_until")
    fieldsets = (
        ("Venue", {"fields": ("name", "slug", "address")}),
        ("Clock and money", {"fields": ("time_zone", "currency")}),
        ("Quiet hours", {"fields": ("quiet_from", "quiet_until")}),
        HISTORY,
    )
    list_display = ("name", "slug", "time_zone", "currency", "address")
    search_fields = ("name", "slug")
    ordering = ("name",)

    def zone_of(self, row: Venue) -> tzinfo:
        """Its own."""
        return row.zone

    def save_model(
        self, request: HttpRequest, obj: Venue, form: Any, change: Any
    ) -> None:
        """Whoever adds a venue works there, or could not see it.

        Where its clocks are moved, what is sold there hears of it.
        """
        super().save_model(request, obj, form, change)
        if not change:
            VenueStaff.objects.create(user=cast("User", request.user), venue=obj)
        elif "time_zone" in form.changed_data:
            tell_moved_clocks(obj)
            messages.warning(request, CLOCKS_ARE_MOVED)


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(BackOfficeAdmin[Group]):
    """What each group may do; accounts/services/groups.py says it."""

    fieldsets = (
        ("Group", {"fields": ("name", "members")}),
        ("May", {"fields": ("rights",), "classes": ("wide",)}),
    )
    list_display = ("name", "members")
    ordering = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        """With the people in them."""
        return super().get_queryset(request).prefetch_related("user_set")

    @admin.display(description="members")
    def members(self, group: Group) -> str:
        """By name."""
        return ", ".join(str(user) for user in group.user_set.all())

    @admin.display(description="rights")
    def rights(self, group: Group) -> SafeString:
        """In Django's words."""
        names = group.permissions.order_by("codename").values_list("name")
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{}</li>", names))
