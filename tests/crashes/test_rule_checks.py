"""`kill -9` at every point of a nightly check, then sweeps only: one case."""

import pytest

from bookings.models import Booking
from recovery.models import Case, RuleCheck
from recovery.tasks import check_all_rows
from slotbase.lib.clock import read_clock
from tests.crashes.test_kill_points import kill
from tests.crashes.worker import Workers, end_leases
from tests.factories import make_booking

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.breaks_invariants]

CHECK = "recovery.tasks.check_all_rows"


def prepare() -> None:
    """One rule is due, and it is broken."""
    check_all_rows()
    Booking.objects.filter(pk=make_booking().pk).update(units=[7])
    RuleCheck.objects.filter(rule="I17").update(next_run_at=read_clock())


def require_one_case() -> None:
    end_leases()
    check_all_rows()
    case = Case.objects.get()
    assert (case.kind, case.subject_id) == ("invariant_violation", "I17")
    row = RuleCheck.objects.get(rule="I17")
    assert row.next_run_at is not None
    assert (row.next_run_at > read_clock(), row.lease_token) == (True, None)
    assert (row.attempts, row.deaths) == (0, 0)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("point", ["claimed", "called", "recorded"])
def test_whoever_comes_after_a_death_checks_the_rule(
    workers: Workers, point: str, times: int
) -> None:
    prepare()

    kill(workers, f"invariants.{point}", times, CHECK)

    require_one_case()


def test_a_death_after_the_record_loses_nothing(workers: Workers) -> None:
    prepare()

    kill(workers, "invariants.settled", 1, CHECK)

    require_one_case()


def test_a_death_while_it_is_told_that_a_rule_cannot_be_checked(
    workers: Workers,
) -> None:
    prepare()
    RuleCheck.objects.filter(rule="I17").update(deaths=3)

    kill(workers, "invariants.failed", 1, CHECK)

    check_all_rows()
    assert Case.objects.get().title == "I17 could not be checked"
