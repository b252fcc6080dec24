"""`kill -9` at each point of the processor of dead letters: each is moved once."""

from collections.abc import Iterator

import pytest

from recovery import dead_letters, invariants
from recovery.models import AuditEntry, Case, DeadLetter
from recovery.work import work_of
from slotbase.lib.clock import Now
from tests.crashes import letters
from tests.crashes.worker import KILLED, Workers, effects, end_leases

pytestmark = pytest.mark.django_db(transaction=True)

SUCCEED, FAIL = "tests.crashes.letters.succeed", "tests.crashes.letters.fail"
TASK = "bookings.expire_holds"


@pytest.fixture(autouse=True)
def _same_runner_after() -> Iterator[None]:
    before = [*dead_letters._runner]
    yield
    dead_letters._runner[:] = before


def make_letter(*, is_permanent: bool = False) -> None:
    """One that is due now."""
    work = work_of(TASK)
    dead_letters.record_failure(work, ValueError(), is_permanent=is_permanent)
    DeadLetter.objects.update(next_run_at=Now())


def kill(workers: Workers, point: str, task: str) -> None:
    end = workers.run(task, failpoints=f"dead_letter.{point}=kill")
    assert end == KILLED, f"{task} does not come to {point}"
    end_leases()


@pytest.mark.parametrize("point", ["claimed", "failed", "settled"])
def test_one_that_goes_to_a_case_does_so_once_whoever_dies(
    workers: Workers, point: str
) -> None:
    make_letter(is_permanent=True)

    kill(workers, point, FAIL)
    letters.fail()
    letters.fail()

    letter, case = DeadLetter.objects.get(), Case.objects.get()
    assert (letter.status, letter.next_run_at) == ("OPEN", None)
    assert (case.subject_id, case.occurrences) == (str(letter.pk), 1)
    assert letter.failures == 2
    assert invariants.find_violations() == []


@pytest.mark.parametrize("point", ["claimed", "failed", "settled"])
def test_one_that_fails_again_is_due_again_whoever_dies(
    workers: Workers, point: str
) -> None:
    make_letter()

    kill(workers, point, FAIL)
    letters.fail()

    letter = DeadLetter.objects.get()
    assert letter.next_run_at is not None
    assert (letter.failures, letter.lease_token) == (2, None)
    assert Case.objects.count() == 0


@pytest.mark.parametrize(
    ("point", "times"), [("claimed", 1), ("called", 2), ("recorded", 2), ("settled", 1)]
)
def test_one_that_succeeds_ends_once_whoever_dies(
    workers: Workers, point: str, times: int
) -> None:
    make_letter()

    kill(workers, point, SUCCEED)
    letters.succeed()

    assert DeadLetter.objects.get().status == "RESOLVED"
    # A task may run twice at any time, as all of them may.
    assert effects() == [TASK] * times
    assert AuditEntry.objects.filter(action="dead_letter.resolved").count() == 1
    assert invariants.find_violations() == []


def test_one_that_kills_the_processor_each_time_is_a_case_after_three_deaths(
    workers: Workers,
) -> None:
    make_letter()

    for _ in range(3):
        kill(workers, "claimed", SUCCEED)
    letters.succeed()

    assert effects() == []
    assert Case.objects.get().cause == "Its worker died three times."
    assert DeadLetter.objects.get().next_run_at is None
