"""Work with money for processes that are killed, and what must be true after it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from bookings.services import cancelling, paying
from notifications.models import Notification
from payments.services import refund_calls
from recovery import invariants, workflows
from recovery.models import Case
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.crashes.worker import KILLED, Workers, end_leases, fail
from tests.payments.sweeps import is_idle, sweep

# As the API does.


def start_payment(hold: str, customer: str) -> None:
    """The customer wants to pay."""
    paying.start_payment(hold_id=UUID(hold), customer_id=UUID(customer))


def confirm(hold: str, customer: str) -> None:
    """The customer has paid and says so."""
    paying.confirm_paid_hold(hold_id=UUID(hold), customer_id=UUID(customer))


def cancel(booking: str, customer: str) -> None:
    """The customer does not come."""
    cancelling.cancel_booking(booking_id=UUID(booking), customer_id=UUID(customer))


# As workers of releases with a fault do.


def advance_badly() -> None:
    """A step that can never be done."""
    cancelling.complete_cancellation = fail
    workflows.advance()


def refund_under_a_new_key() -> None:
    """Stripe cannot know what it was sent before."""
    refund_calls._key = lambda _: str(uuid4())
    refund_calls.attempt_refunds()


@dataclass(frozen=True)
class Till:
    """A customer's money between processes that die, and those who count it."""

    workers: Workers
    sandbox: Sandbox
    stripe: Stripe
    clock: Clock

    def kill(self, point: str, task: str, *, times: int = 1, **arguments: Any) -> None:
        """So many processes die there, one after the other, and time passes."""
        for _ in range(times):
            end = self.workers.run(task, failpoints=f"{point}=kill", **arguments)
            assert end == KILLED, f"{task} does not come to {point}"
            end_leases()

    def live(self, task: str, **arguments: Any) -> None:
        """Somebody asks again, and nobody dies."""
        assert self.workers.run(task, **arguments) == 0

    def mails(self) -> list[str]:
        """The subjects of the mails that Resend really sent."""
        effects = self.sandbox.get("/_sandbox/effects", provider="resend")["effects"]
        return [each["effect"]["subject"] for each in effects]

    def require_all_is_well(self, *, paid: int = 1, refunded: int = 0) -> None:
        """So often money went, each mail went out once, and the rules hold."""
        self.clock.move(minutes=3)
        sweep()
        assert is_idle()
        assert len(self.stripe.effects("payment_intent_created")) == 1
        assert len(self.stripe.effects("paid")) == paid
        assert len(self.stripe.effects("refund_created")) == refunded
        due = Notification.objects.exclude(status="CANCELLED")
        due = due.exclude(template="booking_reminder")  # it is for another day
        assert {each.status for each in due} <= {"SENT"}
        assert len(self.mails()) == due.count()
        assert not Case.objects.exclude(status="RESOLVED").exists()
        assert invariants.find_violations() == []
