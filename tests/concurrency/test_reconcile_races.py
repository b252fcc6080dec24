"""Several at once compare with Stripe, ask for it, or find that we forgot something."""

from dataclasses import replace
from uuid import uuid4

import pytest

from payments.models import ReconciledDay, Reconciliation
from payments.services import comparing, reconcile_desk
from payments.services.installation import mark
from payments.services.lost import notice_intent_now
from recovery import rowqueue
from recovery.models import AuditEntry, Case
from slotbase.lib.clock import Now
from slotbase.providers.stripe import client
from tests.adversity import Stripe
from tests.concurrency.race import at_once, errors_in
from tests.payments.money import TESTER, make_paid, make_payable

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4


def compare() -> None:
    while comparing.compare_with_stripe():
        pass


def make_due() -> None:
    Reconciliation.objects.update(next_run_at=Now())


def sums() -> list[tuple[int, int, int]]:
    found = ReconciledDay.objects.filter(name="payments")
    return list(found.values_list("ours_minor", "stripe_minor", "objects_seen"))


def test_of_many_workers_one_compares_each_page(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 1)
    for _ in range(3):
        make_paid(stripe._sandbox, make_payable())

    assert errors_in(at_once([compare for _ in range(WORKERS)])) == []
    compare()

    assert sums() == [(7200, 7200, 3)]


@pytest.mark.breaks_invariants
def test_without_leases_a_page_would_count_more_than_once(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paid(stripe._sandbox, make_payable())
    Reconciliation.objects.create(name="payments")
    row = Reconciliation.objects.get()
    turn = comparing._compare(row)
    monkeypatch.setattr(rowqueue, "give_back_lease", lambda *_: None)

    at_once([lambda: rowqueue._record(comparing.QUEUE, row, turn)] * WORKERS)

    assert sums() == [(2400 * WORKERS, 2400 * WORKERS, WORKERS)]


def test_whoever_is_at_a_page_when_a_person_asks_comes_too_late(
    stripe: Stripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_paid(stripe._sandbox, make_payable())
    read, asked = client.page_of_intents, []

    def read_while_somebody_asks(**wanted: object) -> object:
        if not asked:
            asked.append(True)
            reconcile_desk.ask_reconcile(actor=TESTER)
        return read(**wanted)  # type: ignore[arg-type]

    monkeypatch.setitem(
        comparing.SUBJECTS,
        "payments",
        replace(comparing.SUBJECTS["payments"], read_page=read_while_somebody_asks),
    )
    compare()

    assert sums() == [(2400, 2400, 1)]
    late = AuditEntry.objects.filter(action="late_record_refused")
    assert late.count() == 1


def test_many_who_find_it_at_once_open_one_case(stripe: Stripe) -> None:
    made = client.create_intent(
        amount_minor=900,
        currency="EUR",
        metadata={**mark(), "card_payment": str(uuid4())},
        description="Forgotten",
        idempotency_key="forgotten",
        patience=client.Patience.WORKER,
    )
    stripe.works()

    outcomes = at_once([lambda: notice_intent_now(made)] * WORKERS)

    assert errors_in(outcomes) == []
    assert Case.objects.get().kind == "restore_detected"
