"""The operations of coaches' feedback in the OpenAPI document."""

from drf_spectacular.utils import extend_schema_view

from bookings import errors
from bookings.api import feedback_shapes as shapes
from recovery.api.schema import KEY_PROBLEMS, idempotency
from recovery.errors import Frozen
from slotbase.accounts.api.schema import COMMAND, PRIVATE
from slotbase.lib.api.openapi import answer, operation, problems
from slotbase.lib.errors import InvalidState

NOTHING_THERE = (errors.BookingNotFound,)
COMMANDS = (*COMMAND, *KEY_PROBLEMS, *NOTHING_THERE, InvalidState, Frozen)


feedback = extend_schema_view(
    get=operation(
        "getFeedback",
        "Read the feedback on a session",
        "For the coach, all of it: ask again while the enhancement is `PENDING` or "
        "`RUNNING`. For the customer, what the coach accepted; 404 before that.",
        responses={
            200: answer(shapes.Feedback, "The feedback."),
            **problems(*PRIVATE, *NOTHING_THERE),
        },
    ),
    post=operation(
        "writeFeedback",
        "Write notes on a session",
        "For its coach, once it has begun. The notes are kept at once, whatever "
        "becomes of the enhancement, and never changed: other notes are refused with "
        "`invalid_state`, as are notes on a customer who is erased.",
        parameters=idempotency(required=False),
        request=shapes.NotesInput,
        responses={
            201: answer(shapes.Feedback, "The notes are kept, and being enhanced."),
            200: answer(shapes.Feedback, "These very notes were there."),
            **problems(*COMMANDS),
        },
    ),
)
accept = extend_schema_view(
    post=operation(
        "acceptFeedback",
        "Let the customer read it",
        "With an edit, or as it was proposed: without `text`, the enhanced text or the "
        "notes. Can be done again: the customer reads the newest. The first time they "
        "get a message.",
        parameters=idempotency(required=False),
        request=shapes.AcceptInput,
        responses={
            200: answer(shapes.Feedback, "The customer can read it."),
            **problems(*COMMANDS, errors.BookingHasChanged),
        },
    )
)
enhance = extend_schema_view(
    post=operation(
        "enhanceFeedback",
        "Have the notes enhanced again",
        "Once it is done, given up or switched off; while it is still going on, this "
        "changes nothing. If it fails, a text that was enhanced before stays. At most "
        "five times a day; refused with `invalid_state` while it is switched off.",
        parameters=idempotency(required=False),
        request=shapes.AgainInput,
        responses={
            200: answer(shapes.Feedback, "It is waiting, or was."),
            **problems(*COMMANDS),
        },
    )
)
