"""What is run again after a conflict in the database, and what is not."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    connection,
    transaction,
)

from slotbase.accounts.models import Venue
from slotbase.lib.db import (
    NotInTransaction,
    retry_on_conflict,
    sqlstate,
    transaction_required,
)
from slotbase.lib.errors import InvalidState, Unavailable
from tests.concurrency.race import at_once
from tests.factories import make_venue

pytestmark = pytest.mark.django_db(transaction=True)

DEADLOCK, SERIALIZATION = "40P01", "40001"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were waited for, without waiting."""
    recorded: list[float] = []
    monkeypatch.setattr("slotbase.lib.db.time.sleep", recorded.append)
    return recorded


def raise_in_sql(state: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE='{state}'; END $$")


def failing(*states: str) -> Callable[[], int]:
    """Makes a venue, and then fails with one of these states at each attempt."""
    attempts = iter(enumerate(states, 1))

    @retry_on_conflict
    def run() -> int:
        make_venue()
        attempt, state = next(attempts, (len(states) + 1, ""))
        if state:
            raise_in_sql(state)
        return attempt

    return run


@pytest.mark.parametrize("state", [DEADLOCK, SERIALIZATION])
def test_after_two_conflicts_the_third_attempt_succeeds(
    state: str, waits: list[float]
) -> None:
    assert failing(state, state)() == 3

    first, second = waits
    assert 0.1 <= first <= 0.2
    assert 0.2 <= second <= 0.3
    # What the failed attempts did is gone.
    assert Venue.objects.count() == 1


def test_the_waits_differ_so_that_two_do_not_collide_again(waits: list[float]) -> None:
    for _ in range(20):
        failing(DEADLOCK)()

    assert len(set(waits)) == 20


def test_without_a_conflict_nothing_is_waited_for(waits: list[float]) -> None:
    assert failing()() == 1
    assert waits == []


def test_after_three_conflicts_it_is_given_up(waits: list[float]) -> None:
    with pytest.raises(Unavailable) as given_up:
        failing(DEADLOCK, SERIALIZATION, DEADLOCK)()

    assert (given_up.value.status, given_up.value.code) == (503, "try_again")
    assert len(waits) == 2  # nobody waits after the last attempt
    assert Venue.objects.count() == 0


@pytest.mark.parametrize("state", ["55P03", "57014", "23505", "23P01", "P0001"])
def test_any_other_failure_is_not_tried_again(state: str, waits: list[float]) -> None:
    with pytest.raises(DatabaseError) as failure:
        failing(state)()

    assert sqlstate(failure.value) == state
    assert waits == []
    assert Venue.objects.count() == 0


@pytest.mark.parametrize(
    ("state", "kind"), [("55P03", OperationalError), ("23505", IntegrityError)]
)
def test_the_error_comes_through_as_it_is(state: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        failing(state)()


def test_a_domain_error_rolls_back_and_comes_through(waits: list[float]) -> None:
    @retry_on_conflict
    def refuse() -> None:
        make_venue()
        raise InvalidState

    with pytest.raises(InvalidState):
        refuse()
    assert (waits, Venue.objects.count()) == ([], 0)


def test_inside_a_transaction_nothing_could_be_run_again() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        failing()()


def test_arguments_results_and_name_pass_through() -> None:
    @retry_on_conflict
    def add(left: int, *, right: int) -> int:
        """Adds."""
        return left + right

    assert add(1, right=2) == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")


def test_a_real_deadlock_is_resolved_and_both_are_done() -> None:
    venues = [make_venue(), make_venue()]

    def rename(order: list[Venue], name: str) -> Callable[[], Any]:
        @retry_on_conflict
        def run() -> None:
            for venue in order:
                Venue.objects.filter(pk=venue.pk).update(name=name)
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(0.2)")

        return run

    outcomes = at_once([rename(venues, "one"), rename(venues[::-1], "other")])

    assert outcomes == [None, None]
    assert len({venue.name for venue in Venue.objects.all()}) == 1


@transaction_required
def part() -> str:
    return "done"


def test_a_part_of_a_transaction_refuses_to_run_without_one() -> None:
    with pytest.raises(NotInTransaction, match="part"):
        part()
    with transaction.atomic():
        assert part() == "done"
