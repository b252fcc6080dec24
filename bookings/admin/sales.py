"""Back office: holds and bookings. Only services make, change or end them."""

from collections import defaultdict
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from bookings.admin.money import MoneyPages
from bookings.admin.moving import MovePages
from bookings.models import Booking, BookingHold, Resource, SlotClaim
from bookings.queries import list_history
from bookings.states import HoldStatus
from notifications.admin.reach import format_reach
from notifications.admin.timeline import show_messages_about
from payments.queries import list_history as list_history_of_money
from recovery.backoffice import HISTORY, AuditedAdmin
from recovery.models import AuditEntry
from slotbase.accounts.models import User
from slotbase.lib.backoffice import (
    MIN_SEARCH_LENGTH,
    BackOfficeInline,
    CappedPaginator,
    ConditionFilter,
    OwnRowsFilter,
)
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.columns import (
    badge,
    contact,
    format_link,
    format_moment,
    format_slot,
    money,
    venue_slot,
    venue_time,
)
from slotbase.lib.ids import as_reference

#: How far the list of the front desk goes, back and ahead.
DAYS_OF_THE_DESK = 7


def from_today(days: int, *, before: int = 0) -> Q:
    """Starts today or within so many days, by the calendar of each booking's venue.

    Or in so many days `before` that.
    """
    now, resources = read_clock(), defaultdict(list)
    for zone, pk in Resource.objects.values_list("venue__time_zone", "pk"):
        resources[zone].append(pk)
    # Constants, not expressions: the index of resource and start serves only these.
    condition = Q(pk__in=[])
    for zone, pks in resources.items():
        today = now.astimezone(ZoneInfo(zone)).date()
        first = datetime.combine(today - timedelta(before), time(), ZoneInfo(zone))
        end = datetime.combine(today + timedelta(days), time(), ZoneInfo(zone))
        condition |= Q(resource__in=pks, start_time__gte=first, start_time__lt=end)
    return condition


class DayFilter(ConditionFilter):
    """By the calendar of each booking's venue."""

    title, parameter_name = "day", "day"
    conditions = {
        "today": ("Today", partial(from_today, 1)),
        "week": ("Next 7 days", partial(from_today, 7)),
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


def is_of_the_desk_alone(user: Any) -> bool:
    """Whether somebody works at a front desk and is nothing more than that."""
    if user.is_superuser:
        return False
    return {*user.groups.values_list("name", flat=True)} == {"front_desk"}


class SaleAdmin(AuditedAdmin[Any]):
    """What a hold and a booking have in common."""

    #: The column of a booking that has the id of the row.
    key_in_booking: ClassVar[str]

    venue_path = "resource__venue"
    contact_fields = ("phone", "e_mail")
    list_select_related: ClassVar[Any] = ("resource__venue", "customer")
    # Says that there is a search; `get_search_results` is what it does.
    search_fields = ("customer__name",)
    search_help_text = "Reference, name, or the whole phone or e-mail"
    when, price, state = venue_slot(), money(), badge("status")
    created = venue_time("created_at", "made")
    phone = contact("customer__phone", "phone")
    e_mail = contact("customer__email", "e-mail")

    def whose_contact_data(self, row: Any) -> tuple[str, Any]:
        """The customer's."""
        return "user", row.customer_id

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the beginning of a reference, and by what finds the customer."""
        if len(search_term.strip()) < MIN_SEARCH_LENGTH:
            return super().get_search_results(request, queryset, search_term)
        people = self.admin_site.get_model_admin(User)
        found, _ = people.get_search_results(request, User.objects.all(), search_term)
        sold = Booking.objects.filter(reference__startswith=as_reference(search_term))
        # Ids first: a condition over several tables would read all of them.
        customers = found.values_list("pk", flat=True)[: CappedPaginator.limit]
        keys = sold.values_list(self.key_in_booking, flat=True)[: CappedPaginator.limit]
        is_meant = Q(pk__in=list(keys)) | Q(customer__in=list(customers))
        return queryset.filter(is_meant), False

    @admin.display(description="messages")
    def messages(self, row: Any) -> SafeString:
        """What the customer was told about it."""
        return show_messages_about((self.audit_subject, row.pk))

    @admin.display(description="their mails")
    def reach(self, row: Any) -> SafeString:
        """Whether mails reach the customer."""
        return format_reach(row.customer)

    @admin.display(description="venue", ordering="resource__venue__name")
    def venue(self, row: Any) -> str:
        """Where it is."""
        return str(row.resource.venue)


@admin.register(Booking)
class BookingAdmin(MovePages, MoneyPages, SaleAdmin):
    """Slots that were sold."""

    audit_subject, key_in_booking = "booking", "pk"
    finds_references = True
    list_display = (
        *("reference", "when", "resource", "venue"),
        *("customer", "state", "payment_state", "price"),
    )
    list_select_related = (*SaleAdmin.list_select_related, "payable")
    list_filter = (
        *(DayFilter, "status"),
        *(("resource__venue", OwnRowsFilter), "resource__kind"),
    )
    fieldsets = (
        ("Slot", {"fields": ("state", "when", "resource", "units", "price")}),
        (
            "Money",
            {
                "fields": (
                    *("payment_state", "owed", "paid", "due"),
                    *("refunds", "proposals", "receipts", "all_money"),
                )
            },
        ),
        ("Customer", {"fields": ("customer", *SaleAdmin.contact_fields, "reach")}),
        ("Messages", {"fields": ("messages",), "classes": ("history",)}),
        ("Origin", {"fields": ("held", "created", "restored_from")}),
        ("Cancellation", {"fields": ("cancelled", "cancelled_by", "cancel_reason")}),
        HISTORY,
    )
    cancelled = venue_time("cancelled_at", "cancelled")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The front desk is shown a week back and ahead, or what it has a reference of.

        Pages stay open to it: cases lead to bookings of any day.
        """
        found, has_twins = super().get_search_results(request, queryset, search_term)
        if not is_of_the_desk_alone(request.user):
            return found, has_twins
        week = from_today(DAYS_OF_THE_DESK + 1, before=DAYS_OF_THE_DESK)
        reference = as_reference(search_term.strip())
        is_meant = Q(reference=reference) if reference else Q(pk__in=[])
        return found.filter(week | is_meant), has_twins

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Coming days in their order, else the newest sale first."""
        is_coming = request.GET.get("day") in {"today", "week"}
        return ("start_time", "id") if is_coming else ("-id",)

    @admin.display(description="messages")
    def messages(self, row: Booking) -> SafeString:
        """What the customer was told, since the slot was held for them."""
        return show_messages_about(("hold", row.hold_id), ("booking", row.pk))

    @admin.display(description="hold")
    def held(self, booking: Booking) -> SafeString:
        """The hold it was made of, by its time."""
        words = format_moment(booking.hold.created_at, self.zone_of(booking))
        return format_link("bookings_bookinghold", booking.hold, words)

    def history_of(self, row: Booking) -> QuerySet[AuditEntry]:
        """Its story begins with its hold."""
        if row.payable_id is None:
            return list_history(row)
        return list_history(row) | list_history_of_money(row.payable_id)


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

    audit_subject, key_in_booking = "hold", "hold"
    list_display = (
        *("when", "resource", "venue", "customer"),
        *("state", "source", "expires"),
    )
    list_filter = (
        *(ExpiryFilter, "status", "source"),
        ("resource__venue", OwnRowsFilter),
    )
    fieldsets = (
        ("Slot", {"fields": ("state", "when", "resource", "units", "price")}),
        ("Customer", {"fields": ("customer", *SaleAdmin.contact_fields, "reach")}),
        ("Life", {"fields": ("source", "created", "expires", "released")}),
        ("Leads to", {"fields": ("became", "moves", "waited")}),
        ("Messages", {"fields": ("messages",), "classes": ("history",)}),
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

    @admin.display(description="waitlist")
    def waited(self, hold: BookingHold) -> SafeString | str:
        """Whose wait this hold ended, if it was offered to somebody who waited."""
        entry = getattr(hold, "waitlist_entry", None)
        if entry is None:
            return self.get_empty_value_display()
        return format_link("bookings_waitlistentry", entry)
