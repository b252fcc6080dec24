"""Back office: holds and bookings. Only services make, change or end them."""

from typing import Any

from django.contrib import admin
from django.db.models import F, Func, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from bookings.models import Booking, BookingHold, SlotClaim
from bookings.queries import list_history
from bookings.states import HoldStatus
from recovery.backoffice import HISTORY, AuditedAdmin
from recovery.models import AuditEntry
from slotbase.lib.backoffice import (
    BackOfficeInline,
    ConditionFilter,
    OwnRowsFilter,
)
from slotbase.lib.clock import Now
from slotbase.lib.columns import (
    badge,
    format_link,
    format_moment,
    format_slot,
    money,
    venue_slot,
    venue_time,
)


class VenueMidnight(Func):
    """When today, or a day after it, begins at the venue of each row."""

    template = (
        "((date_trunc('day', (SELECT slotbase_now()) AT TIME ZONE %(expressions)s)"
        " + interval '%(days)s days') AT TIME ZONE %(expressions)s)"
    )

    def __init__(self, days: int = 0) -> None:
        super().__init__(F("resource__venue__time_zone"), days=days)


class DayFilter(ConditionFilter):
    """By the calendar of each booking's venue."""

    title, parameter_name = "day", "day"
    conditions = {
        "today": (
            "Today",
            Q(start_time__gte=VenueMidnight(), start_time__lt=VenueMidnight(days=1)),
        ),
        "week": (
            "Next 7 days",
            Q(start_time__gte=VenueMidnight(), start_time__lt=VenueMidnight(days=7)),
        ),
        "past": ("Past", Q(end_time__lt=Now())),
    }


class ExpiryFilter(ConditionFilter):
    """Whether a hold keeps its slot now, even if no sweep has seen that it ended."""

    title, parameter_name = "expiry", "expiry"
    conditions = {
        "holding": (
            "Keeps its slot now",
            Q(status=HoldStatus.ACTIVE, expires_at__gt=Now()),
        ),
        "over": (
            "Has run out",
            Q(status=HoldStatus.ACTIVE, expires_at__lte=Now())
            | Q(status=HoldStatus.EXPIRED),
        ),
    }


class SaleAdmin(AuditedAdmin[Any]):
    """What a hold and a booking have in common."""

    venue_path = "resource__venue"
    private_fields = ("customer__phone", "customer__email")
    list_select_related = ("resource__venue", "customer")
    when, price, state = venue_slot(), money(), badge("status")
    created = venue_time("created_at", "made")

    @admin.display(description="venue", ordering="resource__venue__name")
    def venue(self, row: Any) -> str:
        """Where it is."""
        return str(row.resource.venue)


@admin.register(Booking)
class BookingAdmin(SaleAdmin):
    """Slots that were sold."""

    audit_subject = "booking"
    list_display = (
        *("reference", "when", "resource", "venue"),
        *("customer", "state", "price"),
    )
    list_filter = (
        *(DayFilter, "status"),
        *(("resource__venue", OwnRowsFilter), "resource__kind"),
    )
    search_fields = ("reference", "customer__name", *SaleAdmin.private_fields)
    search_help_text = "Reference, name, phone or e-mail; at least 3 characters."
    fieldsets = (
        ("Slot", {"fields": ("state", "when", "resource", "units", "price")}),
        ("Customer", {"fields": ("customer", *SaleAdmin.private_fields)}),
        ("Origin", {"fields": ("held", "created", "restored_from")}),
        ("Cancellation", {"fields": ("cancelled", "cancelled_by", "cancel_reason")}),
        HISTORY,
    )
    cancelled = venue_time("cancelled_at", "cancelled")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Coming days in their order, else the newest sale first."""
        is_coming = request.GET.get("day") in {"today", "week"}
        return ("start_time", "id") if is_coming else ("-id",)

    @admin.display(description="hold")
    def held(self, booking: Booking) -> SafeString:
        """The hold it was made of, by its time."""
        words = format_moment(booking.hold.created_at, self.zone_of(booking))
        return format_link("bookings_bookinghold", booking.hold, words)

    def history_of(self, row: Booking) -> QuerySet[AuditEntry]:
        """Its story begins with its hold."""
        return list_history(row)


class SlotClaimInline(BackOfficeInline[SlotClaim, BookingHold]):
    """What a hold occupies, buffers included; gone when that is over."""

    model = SlotClaim
    fields = readonly_fields = ("number", "occupied")
    max_num = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[SlotClaim]:
        """With all that a line shows."""
        claims = super().get_queryset(request)
        return claims.select_related("unit__resource__venue").order_by("unit")

    @admin.display(description="unit")
    def number(self, claim: SlotClaim) -> int:
        """The unit by number."""
        return claim.unit.number

    @admin.display(description="occupied")
    def occupied(self, claim: SlotClaim) -> SafeString:
        """From when to when."""
        zone = claim.unit.resource.venue.zone
        return format_slot(claim.during.lower, claim.during.upper, zone)


@admin.register(BookingHold)
class HoldAdmin(SaleAdmin):
    """Slots that are or were kept for somebody."""

    audit_subject = "hold"
    list_display = (
        *("when", "resource", "venue", "customer"),
        *("state", "source", "expires"),
    )
    list_filter = (
        *(ExpiryFilter, "status", "source"),
        ("resource__venue", OwnRowsFilter),
    )
    search_fields = (
        *("booking__reference", "customer__name"),
        *SaleAdmin.private_fields,
    )
    search_help_text = "Booking reference, name, phone or e-mail."
    fieldsets = (
        ("Slot", {"fields": ("state", "when", "resource", "units", "price")}),
        ("Customer", {"fields": ("customer", *SaleAdmin.private_fields)}),
        ("Life", {"fields": ("source", "created", "expires", "released")}),
        ("Leads to", {"fields": ("became", "moves")}),
        HISTORY,
    )
    inlines = (SlotClaimInline,)
    expires = venue_time("expires_at", "expires")
    released = venue_time("released_at", "released")

    @admin.display(description="booking")
    def became(self, hold: BookingHold) -> SafeString:
        """The booking that was made of it."""
        booking = getattr(hold, "booking", None)
        if booking is None:
            return self.get_empty_value_display()
        return format_link("bookings_booking", booking)
