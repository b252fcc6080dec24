"""Back office: what can be booked, by which hours, and for how much."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from bookings.models import (
    CancellationPolicy,
    CancellationTier,
    OpeningHours,
    Resource,
    ResourceUnit,
)
from bookings.states import PaymentMode
from recovery.backoffice import HISTORY, AuditedAdmin
from slotbase.lib.backoffice import BackOfficeInline, ModelForm, OwnRowsFilter
from slotbase.lib.clock import read_clock
from slotbase.lib.money import format_money


class UnitForm(ModelForm[ResourceUnit]):
    """A unit is never renumbered or deleted: it is taken out of use."""

    in_use = forms.BooleanField(required=False, initial=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["number"].disabled = True
            self.initial["in_use"] = self.instance.retired_at is None

    def save(self, commit: bool = True) -> ResourceUnit:  # noqa: FBT001, FBT002
        """Stamp the unit when it leaves use, and clear that when it comes back."""
        if "in_use" in self.changed_data:
            in_use = self.cleaned_data["in_use"]
            self.instance.retired_at = None if in_use else read_clock()
        return super().save(commit)


class UnitInline(BackOfficeInline[ResourceUnit, Resource]):
    model = ResourceUnit
    form = UnitForm
    fields = ("number", "in_use")

    @admin.display(boolean=True)
    def in_use(self, unit: ResourceUnit) -> bool:
        """What those see who may not change it."""
        return unit.retired_at is None


class OpeningHoursInline(BackOfficeInline[OpeningHours, Resource]):
    model = OpeningHours
    fields = ("weekday", "opens", "closes")
    can_delete = True


class TierInline(BackOfficeInline[CancellationTier, CancellationPolicy]):
    model = CancellationTier
    fields = ("hours_before", "keep_percent", "keep_minor")
    can_delete = True


@admin.register(CancellationPolicy)
class CancellationPolicyAdmin(AuditedAdmin[CancellationPolicy]):
    """What is kept when a booking is cancelled; bookings keep the terms they have."""

    audit_subject = "cancellation_policy"
    venue_path = "venue"
    inlines = (TierInline,)
    can_add = True
    set_once = ("venue",)
    editable_fields = ("name",)
    fieldsets = (("Policy", {"fields": ("venue", "name")}), HISTORY)
    list_display = ("name", "venue")
    list_filter = (("venue", OwnRowsFilter),)
    list_select_related = ("venue",)
    search_fields = ("name",)


class ResourceForm(ModelForm[Resource]):
    """Says in words what the database would refuse."""

    class Meta:
        labels = {"price_minor": "Price of a step"}

    def clean(self) -> None:
        """Lengths in order, and no price on what is free."""
        given = self.cleaned_data
        step, shortest, longest = (
            given.get(f"{name}_minutes") for name in ("step", "min", "max")
        )
        if step and shortest and shortest < step:
            self.add_error("min_minutes", "At least one step.")
        if shortest and longest and longest < shortest:
            self.add_error("max_minutes", "Not shorter than the shortest.")
        policy = given.get("cancellation_policy")
        venue = given.get("venue") or getattr(self.instance, "venue", None)
        if policy and venue and policy.venue_id != venue.pk:
            self.add_error("cancellation_policy", "It belongs to another venue.")
        if given.get("payment_mode") == PaymentMode.FREE and given.get("price_minor"):
            self.add_error("price_minor", "What is free has no price.")


@admin.register(Resource)
class ResourceAdmin(AuditedAdmin[Resource]):
    """Courts, coaches, rooms and classes."""

    audit_subject = "resource"
    venue_path = "venue"
    form = ResourceForm
    inlines = (UnitInline, OpeningHoursInline)
    can_add = True
    # What was sold refers to its place, money and address: these stay as they are.
    set_once = ("venue", "slug")
    editable_fields = (
        *("name", "kind", "coach", "is_bookable", "requires_check_in"),
        *("step_minutes", "min_minutes", "max_minutes"),
        *("buffer_before_minutes", "buffer_after_minutes"),
        *("notice_minutes", "horizon_days"),
        *("payment_mode", "price_minor", "tax_rate", "cancellation_policy"),
    )
    fieldsets = (
        (
            "Resource",
            {
                "fields": (
                    *("venue", "slug", "name", "kind", "coach"),
                    *("is_bookable", "requires_check_in"),
                )
            },
        ),
        (
            "Price",
            {
                "fields": (
                    *("payment_mode", "price_minor", "price", "tax_rate"),
                    "cancellation_policy",
                )
            },
        ),
        ("Length", {"fields": ("step_minutes", "min_minutes", "max_minutes")}),
        (
            "Around it",
            {
                "fields": (
                    *("buffer_before_minutes", "buffer_after_minutes"),
                    *("notice_minutes", "horizon_days"),
                )
            },
        ),
        HISTORY,
    )
    list_display = ("name", "venue", "kind", "capacity", "price", "is_bookable")
    list_filter = (("venue", OwnRowsFilter), "kind", "is_bookable")
    list_select_related = ("venue",)
    search_fields = ("name", "slug")
    ordering = ("venue__name", "name")
    autocomplete_fields = ("coach",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Resource]:
        """With the number of units in use."""
        in_use = Count("units", filter=Q(units__retired_at__isnull=True))
        return super().get_queryset(request).annotate(units_in_use=in_use)

    @admin.display(description="units in use")
    def capacity(self, resource: Any) -> int:
        """How many can be booked at the same time."""
        in_use: int = resource.units_in_use
        return in_use

    @admin.display(description="price")
    def price(self, resource: Resource) -> str:
        """The price in words: 12.00 EUR per 30 min."""
        amount = format_money(resource.price_minor, resource.venue.currency)
        return f"{amount} per {resource.step_minutes} min"
