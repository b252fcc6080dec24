"""What the API takes and gives. Inputs are strict; outputs are plain functions."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from rest_framework import serializers

from bookings.models import Booking, BookingHold, Resource
from bookings.queries import FreeSlot, find_booking_of
from bookings.rules import Rules
from bookings.states import HoldStatus, WaitlistStatus
from bookings.terms import Quote
from payments.models import CardPayment, Refund
from payments.queries import get_latest_card_payment, list_refunds, say_progress
from payments.states import UNDECIDED_PAYMENTS
from recovery.models import AuditEntry
from slotbase.accounts.models import Venue
from slotbase.lib.api.inputs import StrictSerializer, WordsField

_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?\Z",
    re.ASCII,
)
BIGINT_MAX = 2**63 - 1


def in_utc(moment: datetime) -> str:
    """RFC 3339 in UTC with Z; fractions of a second only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class MomentField(serializers.Field[datetime, str, str, Any]):
    """RFC 3339; without an offset it is local time of the venue and stays naive."""

    default_error_messages = {
        "format": "Use RFC 3339, such as 2026-05-01T10:00:00+02:00 (in an address "
        "write + as %2B); without an offset it is the venue's local time.",
        "range": "Use a year from 2000 to 2199.",
    }

    def to_internal_value(self, data: Any) -> Any:
        """An aware datetime if there was an offset, else a naive one."""
        if not isinstance(data, str) or not _RFC_3339.match(data):
            self.fail("format")
        try:
            moment = datetime.fromisoformat(data.upper())
        except ValueError:
            self.fail("format")
        if not 2000 <= moment.year <= 2199:
            self.fail("range")
        return moment


class NumberField(serializers.IntegerField):
    """An integer of JSON; DRF's own also takes texts such as `1_0`."""

    def to_internal_value(self, data: Any) -> int:
        """The integer."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class DigitsField(serializers.IntegerField):
    """An integer of a query string."""

    def to_internal_value(self, data: Any) -> int:
        """The integer."""
        if not re.fullmatch(r"-?[0-9]+", str(data)):
            self.fail("invalid")
        return super().to_internal_value(data)


class HoldInput(StrictSerializer):
    """A wish for a slot."""

    resource = NumberField(min_value=1, max_value=BIGINT_MAX)
    start_time = MomentField()
    end_time = MomentField()
    units = NumberField(min_value=1, max_value=1000, default=1)


class NothingInput(StrictSerializer):
    """Nothing more is to be said: the price is that of the hold."""


class ConfirmInput(StrictSerializer):
    """How it will be paid, where there is a choice."""

    pay = serializers.ChoiceField(
        choices=["online", "at_venue"],
        required=False,
        error_messages={"invalid_choice": "Use online or at_venue."},
    )


class CancelInput(StrictSerializer):
    """Why, in the customer's words."""

    reason = WordsField(max_length=500, required=False, allow_blank=True)


class AvailabilityInput(StrictSerializer):
    """Which slots to list."""

    to = MomentField()
    duration = DigitsField(
        min_value=1,
        max_value=60 * 24 * 31,
        required=False,
        help_text="In minutes; the shortest that can be booked if it is not given.",
    )
    units = DigitsField(min_value=1, max_value=1000, default=1)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add `from`, which cannot be written as an attribute."""
        return {"from": MomentField(), **super().get_fields()}


def show_hold(hold: BookingHold, time_zone: str) -> dict[str, Any]:
    """A hold as its customer sees it; its booking once there is one."""
    booking = _booking_of(hold)
    return {
        "id": str(hold.pk),
        "resource": hold.resource_id,
        "start_time": in_utc(hold.start_time),
        "end_time": in_utc(hold.end_time),
        "time_zone": time_zone,
        "units": hold.units,
        "status": hold.status,
        "expires_at": in_utc(hold.expires_at),
        "price_minor": hold.price_minor,
        "currency": hold.currency,
        "payment": _show_open_payment(hold),
        "booking": str(booking.pk) if booking else None,
    }


def show_entry(entry: Any) -> dict[str, Any]:
    """A place in the line as its customer sees it, as `queries` read it."""
    has_slot = entry.status in {WaitlistStatus.OFFERED, WaitlistStatus.CLAIMED}
    offer = entry.hold if entry.status == WaitlistStatus.OFFERED else None
    is_waiting = entry.status == WaitlistStatus.WAITING
    return {
        "id": str(entry.pk),
        "resource": entry.resource_id,
        "start_time": in_utc(entry.start_time),
        "end_time": in_utc(entry.end_time),
        "time_zone": entry.resource.venue.time_zone,
        "units": entry.units,
        "status": entry.status,
        "position": entry.ahead + 1 if is_waiting else None,
        "hold": str(entry.hold_id) if has_slot else None,
        "offered_until": in_utc(offer.expires_at) if offer else None,
        "joined_at": in_utc(entry.joined_at),
    }


def _booking_of(hold: BookingHold) -> Booking | None:
    """Late money may have bought the slot by another hold."""
    if hold.status == HoldStatus.CONFIRMED:
        return hold.booking
    return find_booking_of(hold.payable_id) if hold.payable_id else None


def _show_open_payment(hold: BookingHold) -> dict[str, Any] | None:
    """While it is open, so that an app that lost it can go on paying.

    Nobody is asked to pay for what is not kept for them any more.
    """
    payment = get_latest_card_payment(hold.payable_id) if hold.payable_id else None
    if payment is None or payment.status not in UNDECIDED_PAYMENTS:
        return None
    can_pay = hold.status == HoldStatus.ACTIVE and not payment.cancel_requested_at
    return {
        "id": str(payment.pk),
        "status": payment.status,
        "client_secret": (can_pay and payment.client_secret) or None,
    }


def show_payment(payment: CardPayment | None, hold_id: UUID) -> dict[str, Any]:
    """A card payment as Stripe's Payment Element needs it."""
    return {
        "payment": str(payment.pk) if payment else None,
        "status": payment.status if payment else None,
        "client_secret": (payment.client_secret if payment else "") or None,
        "status_url": f"/api/v1/holds/{hold_id}/",
    }


def show_processing(hold_id: UUID) -> dict[str, Any]:
    """A booking that comes once its payment is decided."""
    return {
        "status": "payment_processing",
        "hold": str(hold_id),
        "status_url": f"/api/v1/holds/{hold_id}/",
    }


def show_booking(booking: Booking) -> dict[str, Any]:
    """A booking as its customer sees it."""
    resource = booking.resource
    return {
        "id": str(booking.pk),
        "reference": booking.reference,
        "hold": str(booking.hold_id),
        "resource": resource.pk,
        "resource_name": resource.name,
        "venue": resource.venue_id,
        "venue_name": resource.venue.name,
        "start_time": in_utc(booking.start_time),
        "end_time": in_utc(booking.end_time),
        "time_zone": resource.venue.time_zone,
        "units": booking.units,
        "status": booking.status,
        "payment_status": booking.payable and booking.payable.status,
        "refund_status": say_progress(list_refunds(booking.payable)),
        "price_minor": booking.price_minor,
        "currency": booking.currency,
        "cancellation_terms": booking.cancellation_terms,
        "created_at": in_utc(booking.created_at),
        "cancelled_at": booking.cancelled_at and in_utc(booking.cancelled_at),
        "version": booking.version,
    }


def show_cancellation(booking: Booking) -> dict[str, Any]:
    """What became of a wish to cancel."""
    return {
        **show_booking(booking),
        "refunds": [_show_refund(each) for each in list_refunds(booking.payable)],
        "status_url": f"/api/v1/bookings/{booking.pk}/",
    }


def show_quote(booking: Booking, quote: Quote) -> dict[str, Any]:
    """What a cancellation would cost now; later it may cost more."""
    kept = booking.payable.kept_minor if booking.payable else 0
    return {
        "fee_minor": quote.fee_minor,
        "refund_minor": max(kept - quote.fee_minor, 0),
        "currency": booking.currency,
        "valid_until": in_utc(quote.until),
    }


def _show_refund(refund: Refund) -> dict[str, Any]:
    return {
        "id": str(refund.pk),
        "status": refund.status,
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
    }


def show_audit_entry(entry: AuditEntry) -> dict[str, Any]:
    """One line of an object's history; staff are not named to customers."""
    return {
        "at": in_utc(entry.at),
        "action": entry.action,
        "by": entry.actor_kind,
        "from": entry.from_state or None,
        "to": entry.to_state or None,
        "reason": entry.reason or None,
    }


def show_venue(venue: Venue) -> dict[str, Any]:
    """A venue in the catalogue."""
    return {
        "id": venue.pk,
        "slug": venue.slug,
        "name": venue.name,
        "time_zone": venue.time_zone,
        "currency": venue.currency,
        "address": venue.address,
    }


def show_resource(resource: Resource, capacity: int) -> dict[str, Any]:
    """A resource in the catalogue; `price_minor` buys one step of one unit."""
    policy = resource.cancellation_policy
    terms = [tier.as_term() for tier in policy.tiers.all()] if policy else []
    return {
        "id": resource.pk,
        "slug": resource.slug,
        "name": resource.name,
        "kind": resource.kind,
        "venue": resource.venue_id,
        "venue_name": resource.venue.name,
        "time_zone": resource.venue.time_zone,
        "capacity": capacity,
        "step_minutes": resource.step_minutes,
        "min_minutes": resource.min_minutes,
        "max_minutes": resource.max_minutes,
        "notice_minutes": resource.notice_minutes,
        "horizon_days": resource.horizon_days,
        "payment_mode": resource.payment_mode,
        "price_minor": resource.price_minor,
        "cancellation_terms": terms,
        "currency": resource.venue.currency,
    }


def show_slot(slot: FreeSlot, rules: Rules, units: int) -> dict[str, Any]:
    """A free slot and what `units` of it cost."""
    return {
        "start_time": in_utc(slot.start),
        "end_time": in_utc(slot.end),
        "free_units": slot.free_units,
        "price_minor": rules.price(slot.end - slot.start, units),
        "currency": rules.currency,
    }
