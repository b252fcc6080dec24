"""The operations in the OpenAPI document: one decorator for each view."""

from typing import Any

from drf_spectacular.extensions import (
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema_view,
)

from bookings import errors
from bookings.api import answers, serializers
from payments.errors import CardDeclined
from recovery.api.schema import KEY_PROBLEMS, REQUIRED_KEY_PROBLEMS, idempotency
from recovery.errors import Frozen
from slotbase.accounts.api.schema import COMMAND, PRIVATE, PUBLIC
from slotbase.lib.api import openapi
from slotbase.lib.api.openapi import PAGE, answer, operation, page_of, problems
from slotbase.lib.errors import InvalidState

LOCAL_TIME = (errors.NonexistentTime, errors.AmbiguousTime)
LOCATION = OpenApiParameter(
    "Location",
    str,
    OpenApiParameter.HEADER,
    response=[202],
    description="Where to look again: the same as `status_url`.",
)
SLOT_SHAPES: dict[int, openapi.Shape] = {
    409: answers.SlotProblem,
    422: answers.LocalTimeProblem,
}


class MomentInDocument(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A `MomentField`; not `date-time`, since the offset may be left away."""

    target_class = serializers.MomentField

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:  # noqa: ARG002
        """A text with an example."""
        return {
            "type": "string",
            "description": "RFC 3339. Without an offset it is the venue's local time.",
            "examples": ["2030-05-01T10:00:00+02:00", "2030-05-01T10:00"],
        }


list_venues = extend_schema_view(
    get=operation(
        "listVenues",
        "List venues",
        "All of them, the newest first.",
        parameters=PAGE,
        responses={
            200: answer(page_of("VenuePage", answers.Venue), "A page of venues."),
            **problems(*PUBLIC, *openapi.WITH_INPUT),
        },
    )
)
list_resources = extend_schema_view(
    get=operation(
        "listResources",
        "List what can be booked",
        "Courts, rooms, coaches and classes that can be booked, the newest first.",
        parameters=PAGE,
        responses={
            200: answer(
                page_of("ResourcePage", answers.Resource), "A page of resources."
            ),
            **problems(*PUBLIC, *openapi.WITH_INPUT),
        },
    )
)
get_resource = extend_schema_view(
    get=operation(
        "getResource",
        "Look at a resource",
        "Its capacity, the lengths and times it is sold for, and its price.",
        responses={
            200: answer(answers.Resource, "The resource."),
            **problems(*PUBLIC, errors.ResourceNotFound),
        },
    )
)
list_free_slots = extend_schema_view(
    get=operation(
        "listFreeSlots",
        "List free slots",
        "Slots that start from `from` up to, not including, `to` and can be held now. "
        "At most 31 days at a time.",
        parameters=[serializers.AvailabilityInput],
        responses={
            200: answer(answers.Availability, "The free slots."),
            **problems(
                *(*PUBLIC, *openapi.WITH_INPUT, errors.ResourceNotFound, *LOCAL_TIME),
                shapes=SLOT_SHAPES,
            ),
        },
    )
)
create_hold = extend_schema_view(
    post=operation(
        "createHold",
        "Hold a slot",
        "Keeps it from others until `expires_at`: confirm it in that time.",
        parameters=idempotency(required=True),
        request=serializers.HoldInput,
        responses={
            201: answer(answers.Hold, "A new hold."),
            200: answer(answers.Hold, "The hold that the customer has of this slot."),
            **problems(
                *(*COMMAND, *REQUIRED_KEY_PROBLEMS, errors.ResourceNotFound),
                *(errors.SlotUnavailable, errors.ResourceClosed, errors.HoldLimit),
                *LOCAL_TIME,
                shapes=SLOT_SHAPES,
            ),
        },
    )
)
hold = extend_schema_view(
    get=operation(
        "getHold",
        "Look at a hold",
        "Its state, and its booking once there is one.",
        responses={
            200: answer(answers.Hold, "The hold."),
            **problems(*PRIVATE, errors.HoldNotFound),
        },
    ),
    delete=operation(
        "releaseHold",
        "Give a slot back",
        "Others can hold it at once.",
        responses={
            204: answer(None, "It is free, also if it was before."),
            **problems(*PRIVATE, errors.HoldNotFound, InvalidState, Frozen),
        },
    ),
)
start_payment = extend_schema_view(
    post=operation(
        "startPayment",
        "Pay for a hold by card",
        "Gives the secret for Stripe's Payment Element. Confirm the hold when the "
        "customer has paid; a webhook of Stripe does it, too.",
        parameters=[*idempotency(required=True), LOCATION],
        request=serializers.NothingInput,
        responses={
            201: answer(answers.Payment, "The customer can pay."),
            202: answer(answers.Payment, "Soon: look at the hold again."),
            **problems(
                *(*COMMAND, *REQUIRED_KEY_PROBLEMS, errors.HoldNotFound, Frozen),
                *(errors.HoldHasExpired, errors.HoldIsReleased, errors.NothingToPay),
                errors.ResourceClosed,
            ),
        },
    )
)
confirm_hold = extend_schema_view(
    post=operation(
        "confirmHold",
        "Turn a hold into a booking",
        "`pay` says how it will be paid where there is a choice.",
        parameters=[*idempotency(required=False), LOCATION],
        request=serializers.ConfirmInput,
        responses={
            201: answer(answers.Booking, "A new booking."),
            200: answer(answers.Booking, "The booking that there is."),
            202: answer(answers.Processing, "It comes once the payment is decided."),
            **problems(
                *(*COMMAND, *KEY_PROBLEMS, errors.HoldNotFound, errors.HoldHasExpired),
                *(errors.HoldIsReleased, errors.PaymentRequired, CardDeclined, Frozen),
                errors.ResourceClosed,
            ),
        },
    )
)
waitlist = extend_schema_view(
    get=operation(
        "listWaitlistEntries",
        "List where the customer waits",
        "Slots that they wait for or have an offer of, the newest first.",
        parameters=PAGE,
        responses={
            200: answer(
                page_of("WaitlistPage", answers.WaitlistEntry), "A page of entries."
            ),
            **problems(*PRIVATE, *openapi.WITH_INPUT),
        },
    ),
    post=operation(
        "joinWaitlist",
        "Wait for a slot",
        "Whoever joined first gets what becomes free: as a hold of their own, for some "
        "minutes. If it is free, that is at once.",
        parameters=idempotency(required=True),
        request=serializers.HoldInput,
        responses={
            201: answer(answers.WaitlistEntry, "A new entry."),
            200: answer(answers.WaitlistEntry, "The entry that the customer has."),
            **problems(
                *(*COMMAND, *REQUIRED_KEY_PROBLEMS, errors.ResourceNotFound),
                *(errors.ResourceClosed, errors.WaitlistLimit, *LOCAL_TIME),
                shapes=SLOT_SHAPES,
            ),
        },
    ),
)
waitlist_entry = extend_schema_view(
    get=operation(
        "getWaitlistEntry",
        "Look at a place in the line",
        "How many are in front, and the offer once there is one.",
        responses={
            200: answer(answers.WaitlistEntry, "The entry."),
            **problems(*PRIVATE, errors.WaitlistEntryNotFound),
        },
    ),
    delete=operation(
        "leaveWaitlist",
        "Leave the line",
        "An offer goes to the next one at once.",
        responses={
            204: answer(None, "The customer waits no more, also if so before."),
            **problems(*PRIVATE, errors.WaitlistEntryNotFound, InvalidState, Frozen),
        },
    ),
)
decline_offer = extend_schema_view(
    post=operation(
        "declineOffer",
        "Decline an offer",
        "It goes to the next one at once, and the customer waits no more.",
        parameters=idempotency(required=False),
        request=serializers.NothingInput,
        responses={
            200: answer(answers.WaitlistEntry, "The entry, which has ended."),
            **problems(
                *(*COMMAND, *KEY_PROBLEMS, errors.WaitlistEntryNotFound),
                *(errors.NothingOffered, Frozen),
            ),
        },
    )
)
list_bookings = extend_schema_view(
    get=operation(
        "listBookings",
        "List the customer's bookings",
        "The newest first.",
        parameters=PAGE,
        responses={
            200: answer(page_of("BookingPage", answers.Booking), "A page of bookings."),
            **problems(*PRIVATE, *openapi.WITH_INPUT),
        },
    )
)
get_booking = extend_schema_view(
    get=operation(
        "getBooking",
        "Look at a booking",
        "Its state and terms.",
        responses={
            200: answer(answers.Booking, "The booking."),
            **problems(*PRIVATE, errors.BookingNotFound),
        },
    )
)
get_history = extend_schema_view(
    get=operation(
        "getBookingHistory",
        "See what happened to a booking",
        "Every step since the slot was held, with who made it.",
        responses={
            200: answer(answers.History, "Its history."),
            **problems(*PRIVATE, errors.BookingNotFound),
        },
    )
)
quote_cancellation = extend_schema_view(
    get=operation(
        "quoteCancellation",
        "See what it costs to cancel",
        "By the terms of the booking, as of now.",
        responses={
            200: answer(answers.CancellationQuote, "The fee, and what goes back."),
            **problems(
                *(*PRIVATE, errors.BookingNotFound),
                *(errors.NotCancellable, errors.CancellationClosed),
            ),
        },
    )
)
cancel_booking = extend_schema_view(
    post=operation(
        "cancelBooking",
        "Cancel a booking",
        "As a whole, until it begins.",
        parameters=[*idempotency(required=False), LOCATION],
        request=serializers.CancelInput,
        responses={
            200: answer(answers.Cancellation, "It is cancelled, also if it was."),
            202: answer(answers.Cancellation, "Money goes back; look at it again."),
            **problems(
                *(*COMMAND, *KEY_PROBLEMS, errors.BookingNotFound, Frozen),
                *(errors.NotCancellable, errors.CancellationClosed),
            ),
        },
    )
)
