"""Back office: customers and staff, and what staff may do."""

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import admin as stock
from django.contrib.auth.forms import (
    AdminPasswordChangeForm,
    UserCreationForm,
    UsernameField,
)
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import CharField, F, Func, Q, QuerySet, Value
from django.db.models.lookups import EndsWith
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from recovery.backoffice import HISTORY, staff_id_of
from recovery.step_up import ask_first, asks_first
from slotbase.accounts.admin.personal_data import (
    ERASE,
    EXPORT,
    PERSONAL_DATA,
    PersonalDataPage,
)
from slotbase.accounts.errors import NoSecondFactor
from slotbase.accounts.models import Erasure, User, Venue
from slotbase.accounts.services import factor_resets
from slotbase.accounts.services.rights import (
    Rights,
    change_rights,
    require_may_be_given_password,
    rights_of,
)
from slotbase.lib.backoffice import (
    MIN_SEARCH_LENGTH,
    SEE_CONTACT_DATA,
    ConditionFilter,
    ModelForm,
)
from slotbase.lib.columns import contact, format_state, venue_time
from slotbase.lib.errors import DomainError
from slotbase.lib.typed import TypedForm

RIGHTS, RESET = "accounts_user_rights", "accounts_user_reset_factor"
DIGITS_OF_A_PHONE = 7  # in fewer, somebody could try them all
PHONE_DIGITS = Func(
    *(F("phone"), Value("[^0-9]"), Value(""), Value("g")),
    function="regexp_replace",
    output_field=CharField(),
)
CONTACT = ("e_mail", "phone_number")
RESET_IT = "Reset the second factor"
DONE = 302
CHANGED = "It is done, and their sessions have ended."
PROPOSED = "It is proposed: it is done once a colleague agrees."


class KindFilter(ConditionFilter):
    """How a person signs in, if at all."""

    title, parameter_name = "kind", "kind"
    conditions = {
        "staff": ("Staff", Q(is_staff=True)),
        "customer": ("Customers", Q(clerk_id__isnull=False)),
        "walk_in": (
            "Walk-ins",
            Q(is_staff=False, clerk_id__isnull=True, erased_at=None),
        ),
        "erased": ("Erased", Q(erased_at__isnull=False)),
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


class GivenPasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """The password of somebody else, where it opens nothing alone."""

    def clean(self) -> dict[str, Any] | None:
        """Looked at in the transaction that saves it."""
        try:
            require_may_be_given_password(user_id=self.user.pk)
        except NoSecondFactor as error:
            raise forms.ValidationError({"password1": str(error)}) from error
        return super().clean()


class WhyForm(TypedForm):
    """Something about a member of staff that a colleague has to agree to."""

    reason = forms.CharField(
        max_length=200,
        widget=forms.Textarea({"rows": 2}),
        label="Why",
        help_text="Your colleague who has to agree reads this.",
    )


class RightsForm(WhyForm):
    """What a member of staff may do from now on, and why.

    `seen` is what they had when the page was made, so that nobody changes what somebody
    else has just changed.
    """

    is_active = forms.BooleanField(required=False, label="May sign in")
    is_superuser = forms.BooleanField(required=False, label="Superuser")
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        to_field_name="name",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    venues = forms.ModelMultipleChoiceField(
        Venue.objects.order_by("slug"),
        to_field_name="slug",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Works at",
    )
    seen = forms.JSONField(widget=forms.HiddenInput)
    field_order = ("is_active", "is_superuser", "groups", "venues", "reason")

    def __init__(self, data: Any, before: Rights) -> None:
        super().__init__(data, initial={**vars(before), "seen": asdict(before)})
        if not before.is_superuser:  # nobody becomes one here
            del self.fields["is_superuser"]

    def clean_seen(self) -> Rights:
        """As rights; what is none was not sent by our page."""
        try:
            return Rights.read(self.cleaned_data["seen"])
        except (KeyError, TypeError) as error:
            raise forms.ValidationError("Open the form anew.") from error

    @property
    def wanted(self) -> Rights:
        """What they should have."""
        typed = self.cleaned_data
        return Rights(
            groups=tuple(sorted(group.name for group in typed["groups"])),
            venues=tuple(sorted(venue.slug for venue in typed["venues"])),
            is_active=typed["is_active"],
            is_superuser=typed.get("is_superuser", False),
        )


@admin.register(User)
class UserAdmin(PersonalDataPage, stock.UserAdmin):  # type: ignore[type-arg]
    """Customers and staff. Operations gives staff their groups and passwords."""

    audit_subject = "user"
    can_add = True
    add_form = StaffCreationForm
    form = ModelForm[User]
    change_password_form = GivenPasswordForm
    editable_fields = ("name", "is_active")
    change_form_template = "admin/person.html"
    filter_horizontal = ()
    staff_only = (
        *("username", "password_state", "last_seen"),
        *("groups", "workplaces", "is_superuser"),
    )
    customers_only: ClassVar[tuple[Any, ...]] = ("clerk_id", "locale", "personal_data")
    fieldsets: ClassVar[tuple[Any, ...]] = (
        ("Person", {"fields": ("kind", "name", *CONTACT, "locale", "created")}),
        (
            "Sign-in",
            {
                "fields": (
                    *("username", "clerk_id", "is_active"),
                    *("password_state", "last_seen"),
                )
            },
        ),
        ("Rights", {"fields": ("groups", "workplaces", "is_superuser")}),
        ("Personal data", {"fields": ("personal_data",)}),
        HISTORY,
    )
    add_fieldsets = (
        ("Member of staff", {"fields": ("username", "name")}),
        ("Password", {"fields": ("password1", "password2")}),
    )
    list_display = ("__str__", "kind", *CONTACT, "is_active", "created")
    list_filter = (KindFilter, "is_active", "groups")
    search_fields = ("name", "username", "clerk_id__exact")
    search_help_text = "Name, login, or the whole phone or e-mail"
    ordering = ("-id",)
    e_mail, phone_number = contact("email", "e-mail"), contact("phone", "phone")
    created = venue_time("created_at", "known since")
    last_seen = venue_time("last_login", "last sign-in")

    def has_change_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        """Nobody changes their own rights, and only a superuser a superuser.

        Nor whoever is erased, or soon will be.
        """
        is_beyond = obj is not None and (
            obj == request.user
            or (obj.is_superuser and not request.user.is_superuser)
            # Nobody brings back, or describes anew, whoever is to be forgotten.
            or Erasure.objects.filter(user=obj.pk).exists()
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
        may_act = any(map(request.user.has_perm, (EXPORT, ERASE)))
        if obj.erased_at or not may_act:
            hidden += ("personal_data",)
        if not self.has_change_permission(request, obj):
            hidden += ("password_state",)
        return hidden

    @asks_first
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One that is changed, or added."""
        page = super().changeform_view
        response: HttpResponse = page(request, object_id, form_url, extra_context)
        return response

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> list[Any]:
        """A login is added by another form than it is changed."""
        if obj is None:
            return list(self.add_fieldsets)
        return super().get_fieldsets(request, obj)

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> list[Any]:
        """Nothing where a login is added; who may sign in is one of the rights."""
        fields = super().get_readonly_fields(request, obj) if obj else []
        return [*fields, "is_active"] if obj and obj.is_staff else fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """Also by how they are reached, for those who may see that.

        By all of it alone: with parts, letter by letter, a mask could be looked behind.
        """
        found, has_twins = super().get_search_results(request, queryset, search_term)
        term = search_term.strip()
        if len(term) < MIN_SEARCH_LENGTH or not request.user.has_perm(SEE_CONTACT_DATA):
            return found, has_twins
        return found | queryset.filter(_is_reached_by(term)), has_twins

    def whose_contact_data(self, row: User) -> tuple[str, UUID]:
        """Theirs."""
        return "user", row.pk

    # --- What they may do: a page of its own ----------------------------------------

    def get_urls(self) -> list[Any]:
        """With the pages of what a colleague has to agree to."""
        view = self.admin_site.admin_view
        return [
            path("<uuid:pk>/rights/", view(self.show_rights), name=RIGHTS),
            path("<uuid:pk>/reset-factor/", view(self.show_reset), name=RESET),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """With the ways to what only some may do."""
        user = context.get("original")
        if user and user.is_staff and self.has_change_permission(request, user):
            context["deeds"] = [
                (words, reverse(f"admin:{name}", args=[user.pk]))
                for words, name in (("Change rights", RIGHTS), (RESET_IT, RESET))
            ]
        return super().render_change_form(request, context, *args, **kwargs)

    def show_rights(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask what they may do from now on."""
        user = self._open_staff(request, pk)
        form = RightsForm(request.POST or None, rights_of(user))

        def change(typed: dict[str, Any], staff_id: UUID) -> bool:
            return change_rights(
                user_id=user.pk,
                before=typed["seen"],
                after=form.wanted,
                staff_id=staff_id,
                reason=typed["reason"],
            )

        return self._ask(request, user, "Change rights", form, change)

    def show_reset(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask why their second factor is to go."""
        user = self._open_staff(request, pk)

        def reset(typed: dict[str, Any], staff_id: UUID) -> bool:
            return factor_resets.reset(
                user_id=user.pk, staff_id=staff_id, reason=typed["reason"]
            )

        return self._ask(request, user, RESET_IT, WhyForm(request.POST or None), reset)

    def _open_staff(self, request: HttpRequest, pk: UUID) -> User:
        user: User | None = self.get_object(request, str(pk))
        if user is None:
            raise Http404
        if not user.is_staff or not self.has_change_permission(request, user):
            raise PermissionDenied
        return user

    def _ask(
        self,
        request: HttpRequest,
        user: User,
        title: str,
        form: forms.Form,
        do: Callable[[dict[str, Any], UUID], bool],
    ) -> HttpResponse:
        """A form of its own, and what comes of it: done, or proposed, or refused."""
        if asked := ask_first(request):
            return asked
        status = 200 if request.method != "POST" else _do(request, form, do)
        if status == DONE:
            return HttpResponseRedirect(_address_of(user))
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": str(user),
            "opts": self.opts,
            "original": user,
            "form": form,
        }
        template = "admin/person_form.html"
        return TemplateResponse(request, template, context, status=status)

    # --- Passwords ------------------------------------------------------------------

    @asks_first
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
        if user.erased_at:
            return format_state("ERASED")
        return format_state("CUSTOMER" if user.clerk_id else "WALK_IN")

    @admin.display(description="works at")
    def workplaces(self, user: User) -> str:
        """The venues whose rows they see."""
        return ", ".join(str(venue) for venue in user.venues.order_by("name")) or "none"

    @admin.display(description="personal data")
    def personal_data(self, user: User) -> SafeString:
        """The way to its page."""
        url = reverse(f"admin:{PERSONAL_DATA}", args=[user.pk])
        return format_html('<a href="{}">Export or erase</a>', url)

    @admin.display(description="password")
    def password_state(self, user: User) -> SafeString:
        """Whether there is one, and the way to another."""
        words = "Set a new one" if user.has_usable_password() else "None yet: set one"
        url = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('<a href="{}">{}</a>', url, words)


def _is_reached_by(term: str) -> Q:
    """Who has this address, or this number, however it is written.

    A number may lack its country: what is typed must be the end of it.
    """
    is_meant = Q(email__iexact=term)
    digits = re.sub("[^0-9]", "", term).lstrip("0")
    if len(digits) >= DIGITS_OF_A_PHONE and not re.search("[^-0-9 +()/.]", term):
        is_meant |= Q(EndsWith(PHONE_DIGITS, Value(digits)))
    return is_meant


def add_card(name: str, *fields: Callable[[User], Any]) -> None:
    """Let a floor above show more of a customer: functions with a description."""
    *cards, history = UserAdmin.fieldsets
    UserAdmin.fieldsets = (
        *cards,
        (name, {"fields": fields, "classes": ("wide",)}),
        history,
    )
    UserAdmin.customers_only = (*UserAdmin.customers_only, *fields)


def _do(
    request: HttpRequest,
    form: forms.Form,
    do: Callable[[dict[str, Any], UUID], bool],
) -> int:
    """The status of the answer; what it comes to is told on the page."""
    if not form.is_valid():
        return 400
    try:
        is_done = do(form.cleaned_data, staff_id_of(request))
    except DomainError as error:
        form.add_error(None, str(error))
        return error.status
    messages.success(request, CHANGED if is_done else PROPOSED)
    return DONE


def _address_of(user: User) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])
