"""Back office: places, and the groups of those who work there."""

from datetime import tzinfo
from typing import Any, cast
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
)
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from recovery.backoffice import HISTORY, AuditedAdmin
from slotbase.accounts.models import User, Venue, VenueStaff
from slotbase.accounts.services.venues import tell_moved_clocks
from slotbase.lib.backoffice import (
    BackOfficeAdmin,
    BackOfficeInline,
    ModelForm,
)

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
    editable_fields = (
        *("name", "address", "time_zone", "quiet_from", "quiet_until"),
        "enhances_notes",
    )
    fieldsets = (
        ("Venue", {"fields": ("name", "slug", "address")}),
        ("Clock and money", {"fields": ("time_zone", "currency")}),
        ("Quiet hours", {"fields": ("quiet_from", "quiet_until")}),
        ("Coaches' notes", {"fields": ("enhances_notes",)}),
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
