"""Dead letters at one instant: one row for each task, each moved to a case once."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from recovery import cases, dead_letters, locks
from recovery.models import Case, DeadLetter
from recovery.work import Work, work_of
from slotbase.lib.clock import Now
from tests.concurrency.race import at_once, errors_in
from tests.concurrency.test_closure_races import someone_waits_for_a_lock
from tests.factories import make_staff
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

CROWD, LETTERS = 6, 12
WORK = work_of("bookings.expire_holds")


@pytest.fixture(autouse=True)
def _every_task_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here runs tasks, though another test may have loaded the worker."""
    monkeypatch.setattr(dead_letters, "_runner", [dead_letters._refuse])


def fail(work: Work = WORK, *, is_permanent: bool = False) -> None:
    dead_letters.record_failure(work, ValueError(), is_permanent=is_permanent)


def test_of_many_that_fail_at_once_there_is_one_row_that_counts_all() -> None:
    outcomes = at_once([fail] * CROWD)

    assert errors_in(outcomes) == []
    assert DeadLetter.objects.get().failures == CROWD


@pytest.mark.breaks_invariants
def test_without_the_constraint_there_would_be_a_row_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    barrier, look = threading.Barrier(CROWD, timeout=10), locks.lock_dead_letter_of
    met = threading.local()

    def meet(key: str) -> DeadLetter | None:
        found = look(key)
        if not hasattr(met, "once"):
            met.once = barrier.wait()
        return found

    monkeypatch.setattr(dead_letters, "lock_dead_letter_of", meet)
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX recovery_dead_letter_once")
    try:
        at_once([fail] * CROWD)
        assert DeadLetter.objects.count() == CROWD
    finally:
        DeadLetter.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE UNIQUE INDEX recovery_dead_letter_once"
                " ON recovery_deadletter (key) WHERE status = 'OPEN'"
            )


def make_many() -> None:
    """All of them are due, and go to a case."""
    for number in range(LETTERS):
        fail(work_of("bookings.later", {"id": number}), is_permanent=True)
    DeadLetter.objects.update(next_run_at=Now())


def test_processors_that_run_twice_move_each_once() -> None:
    make_many()

    outcomes = at_once([dead_letters.retry_due] * 3)

    assert errors_in(outcomes) == []
    assert sum(outcomes) == LETTERS
    assert Case.objects.count() == LETTERS
    assert set(Case.objects.values_list("occurrences", flat=True)) == {1}
    assert set(DeadLetter.objects.values_list("failures", "next_run_at")) == {(2, None)}


def test_without_the_lease_they_would_be_moved_more_than_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_many()
    DeadLetter.objects.exclude(kwargs={"id": 0}).update(
        next_run_at=Now() + dead_letters.REVIEW_AFTER
    )
    careless = locks._CLAIM.replace("FOR UPDATE SKIP LOCKED", "").replace(
        "AND (lease_until IS NULL OR lease_until <= (SELECT slotbase_now()))", ""
    )
    monkeypatch.setattr(locks, "_CLAIM", careless)
    monkeypatch.setattr("recovery.rowqueue.SWEEP_SECONDS", 0.5)
    monkeypatch.setattr("recovery.rowqueue.give_back_lease", lambda *_: None)

    at_once([dead_letters.retry_due] * 3)

    assert Case.objects.get().occurrences > 1


def give_up_while_it_is_discarded(
    monkeypatch: pytest.MonkeyPatch, *, as_far_as: Callable[[], object] = bool
) -> list[Any]:
    """A person discards a letter at the moment at which it goes to a case."""
    fail(is_permanent=True)
    DeadLetter.objects.update(next_run_at=Now())
    letter, olga = DeadLetter.objects.get(), make_staff("operations")
    opened: list[Any] = []
    close = cases.close_by_itself

    def close_and_let_give_up(*values: Any) -> None:
        close(*values)
        if not opened:
            opened.append(threading.Thread(target=processor))
            opened[0].start()
            eventually(lambda: not opened[0].is_alive() or as_far_as())

    def processor() -> None:
        try:
            dead_letters.retry_due()
        finally:
            connection.close()

    monkeypatch.setattr(cases, "close_by_itself", close_and_let_give_up)
    dead_letters.discard(letter_id=letter.pk, staff_id=olga.pk, reason="Not ours.")
    opened[0].join()
    assert DeadLetter.objects.get().status == "DISCARDED"
    return list(Case.objects.filter(status__in=cases.IS_OPEN))


def test_no_case_is_opened_about_one_that_is_just_discarded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = give_up_while_it_is_discarded(
        monkeypatch, as_far_as=someone_waits_for_a_lock
    )

    assert opened == []


def test_without_the_lock_it_would_keep_a_case_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        dead_letters,
        "lock_dead_letter",
        lambda letter_id: DeadLetter.objects.get(pk=letter_id),
    )

    assert len(give_up_while_it_is_discarded(monkeypatch)) == 1
