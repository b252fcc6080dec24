"""Work with money for workers that are killed, and sweeps for those that live."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from bookings.services import cancelling, holds, paying
from notifications.models import Notification
from notifications.services import sending
from payments.services import card_payments, refund_calls
from recovery import deliveries, inbox, invariants, outbox, workflows
from recovery.models import Case
from slotbase.accounts.services import profiles
from slotbase.lib.clock import read_clock
from tests.adversity import Clock, Stripe
from tests.conftest import Sandbox
from tests.crashes.worker import KILLED, Workers, due_models, end_leases, fail

ROUNDS = 20


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


# As workers that live do.


def do_due_work() -> int:
    """What beat asks for, once; returns how much there was to do."""
    return sum(
        [
            holds.expire_due_holds(limit=100),
            card_payments.attempt_card_payments(),
            refund_calls.attempt_refunds(),
            *(deliveries.deliver_events(name) for name in outbox.subscribers()),
            inbox.process_inbox(),
            workflows.advance(),
            sending.send_due(),
            profiles.fetch_profiles(),
        ]
    )


def sweep() -> None:
    """All that is due, and what becomes due by it."""
    for _ in range(ROUNDS):
        if not do_due_work():
            return
    raise AssertionError("It does not come to an end.")


def is_idle() -> bool:
    """Whether nobody is at anything, and nothing is due now."""
    now = read_clock()
    return not any(
        model.rows().exclude(lease_token=None).exists()
        or model.rows().filter(next_run_at__lte=now).exists()
        for model in due_models()
    )


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
        """So often money went; each mail went out once; minutes later all rules hold."""
        self.clock.move(minutes=3)
        sweep()
        assert is_idle()
        assert len(self.stripe.effects("payment_intent_created")) == 1
        assert len(self.stripe.effects("paid")) == paid
        assert len(self.stripe.effects("refund_created")) == refunded
        due = Notification.objects.exclude(status="CANCELLED")
        assert {each.status for each in due} <= {"SENT"}
        assert len(self.mails()) == due.count()
        assert not Case.objects.exclude(status="RESOLVED").exists()
        assert invariants.find_violations() == []
