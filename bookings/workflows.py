"""Cancellation as a workflow: what follows once it is decided; only forward."""

from typing import Any
from uuid import UUID

from django.conf import settings

from bookings.locks import lock_booking_with_hold, lock_line_behind
from bookings.models import Booking
from bookings.services import cancelling, messages
from bookings.services.line import pass_on
from payments.services import refund_calls
from payments.services.refund_calls import NOT_MADE
from recovery import audit, cases, workflows
from recovery.models import WorkflowRun
from recovery.states import CaseSeverity
from recovery.workflows import Step, Workflow

SYSTEM = audit.Actor.system("cancellation")


def _booking_of(run: WorkflowRun) -> Booking:
    bookings = Booking.objects.select_related("resource__venue")
    return bookings.get(pk=UUID(run.subject_id))


def _send_refunds(run: WorkflowRun) -> None:
    """The first attempt of each refund; whatever comes of it, the refund sees to it."""
    payable = _booking_of(run).payable
    if payable is None:
        return
    for refund in payable.refunds.filter(status__in=NOT_MADE).order_by("id"):
        refund_calls.attempt_refunds(id=refund.pk)


def _complete(run: WorkflowRun, _: Any) -> None:
    booking = lock_booking_with_hold(UUID(run.subject_id))
    cancelling.complete_cancellation(booking, actor=SYSTEM)


def _tell_waitlist(run: WorkflowRun, _: Any) -> None:
    """Pass on what is still free of the booking's time; the decision did so at once.

    Somebody may have joined at that very moment. Again: nothing is left to pass on.
    """
    booking = lock_booking_with_hold(UUID(run.subject_id))
    pass_on(lock_line_behind([booking.hold_id]))


def _tell_customer(run: WorkflowRun, _: Any) -> None:
    messages.tell_cancelled(_booking_of(run))


cases.register(
    cases.Kind(
        "cancellation_failed",
        CaseSeverity.HIGH,
        "support",
        "A booking has been on its way to be cancelled for too long.",
        opened_when="a cancellation is not finished after half an hour",
        closes_itself_when="it is cancelled",
        actions=("resume", "abandon"),
    )
)
workflows.register(
    Workflow(
        cancelling.CANCELLATION,
        steps=(
            # Done by the transaction that starts the run.
            Step(cancelling.MARK),
            Step(cancelling.REFUND, call=_send_refunds),
            Step(cancelling.COMPLETE, run=_complete),
            Step(cancelling.TELL_WAITLIST, run=_tell_waitlist),
            Step(cancelling.TELL_CUSTOMER, run=_tell_customer),
        ),
        limit_seconds=1800,
        case_kind="cancellation_failed",
        retry_seconds=lambda: settings.WORKFLOW_RETRY_SECONDS,
    )
)
