"""`kill -9` in the middle of a comparison with Stripe: each object is counted once."""

import pytest

from payments.models import ReconciledDay, Reconciliation, Refund
from payments.services import comparing
from slotbase.lib.clock import Now
from tests.crashes.test_kill_points import WITH_A_LEASE
from tests.crashes.till import Till
from tests.payments.money import PRICE, make_sold
from tests.payments.sweeps import sweep

pytestmark = pytest.mark.django_db(transaction=True)

COMPARE = "payments.tasks.compare_with_stripe"


def compare() -> None:
    """Until nothing is due."""
    Reconciliation.objects.filter(began_at=None).update(next_run_at=Now())
    while comparing.compare_with_stripe():
        pass


def make_refunded_outside(till: Till) -> None:
    """A part of the money of a booking went back, which no webhook told."""
    payment = make_sold(till.sandbox)
    sweep()
    told = {"payment_intent": payment.provider_id, "amount": 300}
    till.stripe.tell("dashboard/refunds", **told)


def require_compared() -> None:
    days = {day.name: day for day in ReconciledDay.objects.all()}
    assert {name: day.stripe_minor for name, day in days.items()} == {
        "payments": 2 * PRICE,  # of an hour
        "refunds": 300,
    }
    assert not any(day.difference_minor for day in days.values())
    assert all(day.objects_seen == 1 for day in days.values())
    assert Refund.objects.get().reason == "OUTSIDE"


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("point", [*WITH_A_LEASE, "settled"])
def test_however_often_workers_die_over_a_page_it_counts_once(
    till: Till, point: str, times: int
) -> None:
    make_refunded_outside(till)

    till.kill(f"comparison.{point}", COMPARE, times=times)
    compare()

    require_compared()


def test_a_worker_that_dies_over_a_failure_leaves_the_page_to_others(
    till: Till,
) -> None:
    make_refunded_outside(till)
    till.stripe.fails("5xx", "payment_intents.list", status=503)

    till.kill("comparison.failed", COMPARE)
    compare()

    require_compared()
