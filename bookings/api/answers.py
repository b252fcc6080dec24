"""The shapes of answers, for the OpenAPI document alone.

Answers are made by the `show_` functions of `serializers`; a test holds both together.
"""

from typing import Any

from rest_framework import serializers

from bookings.states import (
    BookingStatus,
    HoldStatus,
    PaymentMode,
    ResourceKind,
    WaitlistStatus,
)
from payments.states import (
    CardPaymentStatus,
    PaymentStatus,
    RefundProgress,
    RefundStatus,
)
from slotbase.lib.api.openapi import Problem

PRICE = "In minor units of the currency, such as cents."
CLIENT_KEY = "For Stripe's Payment Element; null until Stripe has given it."
LOCAL = "IANA name; times are in UTC, show them in this zone."


class Venue(serializers.Serializer[Any]):
    """A place with its own time zone and currency."""

    id = serializers.IntegerField()
    slug = serializers.SlugField()
    name = serializers.CharField()
    time_zone = serializers.CharField(help_text=LOCAL)
    currency = serializers.CharField(help_text="ISO 4217.")
    address = serializers.CharField()


class Term(serializers.Serializer[Any]):
    """What is kept of the price if it is cancelled up to so many hours before."""

    hours_before = serializers.IntegerField()
    keep_percent = serializers.IntegerField()
    keep_minor = serializers.IntegerField(help_text=f"On top of the part. {PRICE}")


TERMS = "After the last one, all is kept. None: nothing is, until it begins."


class Resource(serializers.Serializer[Any]):
    """Something that can be booked."""

    id = serializers.IntegerField()
    slug = serializers.SlugField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(ResourceKind.choices)
    venue = serializers.IntegerField()
    venue_name = serializers.CharField()
    time_zone = serializers.CharField(help_text=LOCAL)
    capacity = serializers.IntegerField(help_text="Units that can be booked at once.")
    step_minutes = serializers.IntegerField(
        help_text="Slots start on this grid, counted from the opening."
    )
    min_minutes = serializers.IntegerField()
    max_minutes = serializers.IntegerField()
    notice_minutes = serializers.IntegerField(help_text="Book this long ahead.")
    horizon_days = serializers.IntegerField(help_text="Book this far ahead at most.")
    payment_mode = serializers.ChoiceField(PaymentMode.choices)
    price_minor = serializers.IntegerField(help_text=f"One step of one unit. {PRICE}")
    cancellation_terms = Term(many=True, help_text=TERMS)
    currency = serializers.CharField(help_text="ISO 4217.")


class Slot(serializers.Serializer[Any]):
    """A free slot and what the wanted units of it cost."""

    start_time = serializers.DateTimeField()
    end_time = serializers.DateTimeField()
    free_units = serializers.IntegerField()
    price_minor = serializers.IntegerField(help_text=PRICE)
    currency = serializers.CharField(help_text="ISO 4217.")


class Availability(serializers.Serializer[Any]):
    """Free slots in order of time."""

    resource = serializers.IntegerField()
    time_zone = serializers.CharField(help_text=LOCAL)
    slots = Slot(many=True)


class OpenPayment(serializers.Serializer[Any]):
    """A card payment that is not decided."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(CardPaymentStatus.choices)
    client_secret = serializers.CharField(allow_null=True, help_text=CLIENT_KEY)


class Hold(serializers.Serializer[Any]):
    """A slot kept for the customer."""

    id = serializers.UUIDField()
    resource = serializers.IntegerField()
    start_time = serializers.DateTimeField()
    end_time = serializers.DateTimeField()
    time_zone = serializers.CharField(help_text=LOCAL)
    units = serializers.ListField(child=serializers.IntegerField())
    status = serializers.ChoiceField(HoldStatus.choices)
    expires_at = serializers.DateTimeField()
    price_minor = serializers.IntegerField(help_text=PRICE)
    currency = serializers.CharField(help_text="ISO 4217.")
    payment = OpenPayment(allow_null=True, help_text="While it can be paid by card.")
    booking = serializers.UUIDField(allow_null=True, help_text="Once it is confirmed.")


class WaitlistEntry(serializers.Serializer[Any]):
    """A place of the customer in the line for a slot."""

    id = serializers.UUIDField()
    resource = serializers.IntegerField()
    start_time = serializers.DateTimeField()
    end_time = serializers.DateTimeField()
    time_zone = serializers.CharField(help_text=LOCAL)
    units = serializers.IntegerField(help_text="How many.")
    status = serializers.ChoiceField(WaitlistStatus.choices)
    position = serializers.IntegerField(
        allow_null=True, help_text="1: the next; null unless it is WAITING."
    )
    hold = serializers.UUIDField(
        allow_null=True, help_text="The offer: confirm it as any other hold."
    )
    offered_until = serializers.DateTimeField(
        allow_null=True, help_text="When the offer runs out."
    )
    joined_at = serializers.DateTimeField()


class Payment(serializers.Serializer[Any]):
    """A card payment of a hold."""

    payment = serializers.UUIDField(allow_null=True)
    status = serializers.ChoiceField(CardPaymentStatus.choices, allow_null=True)
    client_secret = serializers.CharField(allow_null=True, help_text=CLIENT_KEY)
    status_url = serializers.CharField(help_text="Where to look again.")


class Processing(serializers.Serializer[Any]):
    """The booking comes once its payment is decided."""

    status = serializers.ChoiceField(["payment_processing"])
    hold = serializers.UUIDField()
    status_url = serializers.CharField(help_text="Where to look again.")


class Booking(serializers.Serializer[Any]):
    """A booking of the customer."""

    id = serializers.UUIDField()
    reference = serializers.CharField(help_text="Its name for people.")
    hold = serializers.UUIDField()
    resource = serializers.IntegerField()
    resource_name = serializers.CharField()
    venue = serializers.IntegerField()
    venue_name = serializers.CharField()
    start_time = serializers.DateTimeField()
    end_time = serializers.DateTimeField()
    time_zone = serializers.CharField(help_text=LOCAL)
    units = serializers.ListField(child=serializers.IntegerField())
    status = serializers.ChoiceField(BookingStatus.choices)
    payment_status = serializers.ChoiceField(
        PaymentStatus.choices, allow_null=True, help_text="Null: it costs nothing."
    )
    refund_status = serializers.ChoiceField(RefundProgress.choices)
    price_minor = serializers.IntegerField(help_text=PRICE)
    currency = serializers.CharField(help_text="ISO 4217.")
    cancellation_terms = Term(many=True, help_text=TERMS)
    created_at = serializers.DateTimeField()
    cancelled_at = serializers.DateTimeField(allow_null=True)
    version = serializers.IntegerField(help_text="Grows with each change.")


class Refund(serializers.Serializer[Any]):
    """Money that goes back."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(RefundStatus.choices)
    amount_minor = serializers.IntegerField(help_text=PRICE)
    currency = serializers.CharField(help_text="ISO 4217.")


class Cancellation(Booking):
    """A booking that is cancelled, or about to be."""

    refunds = Refund(many=True)
    status_url = serializers.CharField(help_text="Where to look again.")


class CancellationQuote(serializers.Serializer[Any]):
    """What it would cost to cancel now."""

    fee_minor = serializers.IntegerField(help_text=f"What is kept. {PRICE}")
    refund_minor = serializers.IntegerField(help_text=f"What goes back. {PRICE}")
    currency = serializers.CharField(help_text="ISO 4217.")
    valid_until = serializers.DateTimeField(help_text="It costs no more until then.")


class HistoryEntry(serializers.Serializer[Any]):
    """Something that happened to a booking."""

    at = serializers.DateTimeField()
    action = serializers.CharField()
    by = serializers.CharField(help_text="Who: customer, staff or system.")
    to = serializers.CharField(allow_null=True, help_text="The state after it.")
    reason = serializers.CharField(allow_null=True)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Add `from`, which cannot be written as an attribute."""
        before = serializers.CharField(allow_null=True, help_text="The state before.")
        return {**super().get_fields(), "from": before}


class History(serializers.Serializer[Any]):
    """What happened to a booking and its hold, the first thing first."""

    results = HistoryEntry(many=True)


class SlotProblem(Problem):
    """The slot cannot be held."""

    alternatives = Slot(
        many=True,
        required=False,
        help_text="With `slot_unavailable`: up to three free slots near it.",
    )
    waitlist_url = serializers.CharField(
        required=False, help_text="With `slot_unavailable`: where to wait for it."
    )


class LocalTimeProblem(Problem):
    """A local time that the clocks skip or repeat."""

    readings = serializers.ListField(
        child=serializers.DateTimeField(),
        required=False,
        help_text="With `ambiguous_time`: both moments it could be.",
    )
