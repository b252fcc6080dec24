"""What is broken is found in time, and what cannot be checked is reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from bookings.models import Booking, BookingHold
from recovery import invariants, rowqueue, tasks, violations
from recovery.invariants import Invariant
from recovery.models import Case, RuleCheck
from slotbase.lib.clock import read_clock
from slotbase.lib.ids import oldest_id
from tests.factories import make_booking, make_staff

pytestmark = [pytest.mark.django_db, pytest.mark.breaks_invariants]

SLOW = Invariant("I1.slow", "Is slow.", "SELECT 'x' FROM pg_sleep(9) AS slept")
WRONG = Invariant("I1.wrong", "Is wrong.", "SELECT no_such_column")


@contextmanager
def rules(*more: Invariant) -> Iterator[None]:
    """These rules are there as well."""
    invariants.register(*more)
    try:
        yield
    finally:
        for each in more:
            invariants._registry.remove(each)


def make_old(booking: Booking) -> Booking:
    """The same booking, sold and over a year ago."""
    id_ = UUID(int=oldest_id(timedelta(days=365)).int + 1)
    values = {"id": id_, "end_time": booking.end_time - timedelta(days=365)}
    values["start_time"] = booking.start_time - timedelta(days=365)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        BookingHold.objects.filter(pk=booking.hold_id).update(**values)
        Booking.objects.filter(pk=booking.pk).update(
            **values, hold=id_, status="COMPLETED"
        )
        for name, old in (("hold", booking.hold_id), ("booking", booking.pk)):
            cursor.execute(
                "UPDATE recovery_auditentry SET subject_id = %s"
                " WHERE subject_type = %s AND subject_id = %s",
                [str(id_), name, str(old)],
            )
        cursor.execute(
            "INSERT INTO recovery_auditentry (actor_kind, actor_id, action,"
            " subject_type, subject_id, from_state, to_state, reason, request_id)"
            " VALUES ('system', 'sweep', 'x', 'booking', %s, 'CONFIRMED', 'COMPLETED',"
            " '', '')",
            [str(id_)],
        )
        cursor.execute("DELETE FROM bookings_slotclaim")
        cursor.execute("SET session_replication_role = origin")
    return Booking.objects.get(pk=id_)


def broken(**how: Any) -> set[str]:
    return {violation.id for violation in invariants.find_violations(**how)}


# --- What each check looks at --------------------------------------------------


def test_an_old_row_that_is_broken_is_found_at_night_alone() -> None:
    old = make_old(make_booking())
    assert broken(full=True) == set()

    Booking.objects.filter(pk=old.pk).update(units=[7])

    assert broken() == set()
    assert broken(full=True) == {"I17"}


def test_what_is_still_to_come_is_looked_at_however_long_ago_it_was_sold() -> None:
    old = make_old(make_booking())
    Booking.objects.filter(pk=old.pk).update(status="CONFIRMED", units=[7])

    assert "I17" in broken()


def test_a_case_of_the_night_is_not_closed_by_a_check_that_did_not_look() -> None:
    old = make_old(make_booking())
    Booking.objects.filter(pk=old.pk).update(units=[7])
    tasks.check_all_rows()
    case = Case.objects.get()
    assert (case.subject_id, case.status) == ("I17", "OPEN")

    tasks.check_invariants()
    case.refresh_from_db()
    assert case.status == "OPEN"

    Booking.objects.filter(pk=old.pk).update(units=old.units)
    tasks.check_invariants()
    case.refresh_from_db()
    assert case.status == "RESOLVED"


def test_every_rule_is_due_once_a_night() -> None:
    tasks.check_all_rows()

    rows = {row.rule: row for row in RuleCheck.objects.all()}
    assert set(rows) == {rule.id for rule in invariants.registered()}
    now = read_clock()
    for row in rows.values():
        assert row.next_run_at is not None
        assert now < row.next_run_at <= now + timedelta(days=1)
        assert row.next_run_at.hour == 3
    assert violations.check_all_due() == 0


def test_a_rule_that_is_gone_is_not_due_any_more() -> None:
    RuleCheck.objects.create(rule="I0")

    tasks.check_all_rows()

    assert RuleCheck.objects.get(rule="I0").next_run_at is None


# --- What cannot be checked ----------------------------------------------------


@pytest.mark.parametrize("rule", [SLOW, WRONG], ids=["slow", "wrong"])
def test_a_rule_that_cannot_be_checked_says_so_and_silences_no_other(
    rule: Invariant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invariants, "RECENT_SECONDS", 1)
    Booking.objects.filter(pk=make_booking().pk).update(units=[7])

    with rules(rule):
        found = {each.id: each for each in invariants.find_violations()}

    assert set(found) == {rule.id, "I17"}
    assert found["I17"].not_checked == ""
    assert "Error" in found[rule.id].not_checked
    assert found[rule.id].rows == []


def test_a_rule_that_cannot_be_checked_has_a_case_until_it_can() -> None:
    with rules(WRONG):
        tasks.check_invariants()
        case = Case.objects.get()
        assert (case.severity, case.title) == (
            "critical",
            "I1.wrong could not be checked",
        )
        assert case.cause == "ProgrammingError (42703)"

        mended = Invariant(WRONG.id, WRONG.says, "SELECT 1 WHERE false")
        invariants._registry[invariants._registry.index(WRONG)] = mended
        tasks.check_invariants()
        invariants._registry[invariants._registry.index(mended)] = WRONG

    case.refresh_from_db()
    assert case.status == "RESOLVED"


def test_what_is_known_to_be_broken_stays_so_while_it_cannot_be_checked() -> None:
    rule = Invariant("I1.x", "Is so.", "SELECT 'a row'")
    with rules(rule):
        tasks.check_invariants()
    with rules(Invariant("I1.x", "Is so.", "SELECT no_such_column")):
        tasks.check_invariants()

    titles = Case.objects.filter(status="OPEN").values_list("title", flat=True)
    assert set(titles) == {"I1.x is broken: Is so.", "I1.x could not be checked"}


def test_a_check_leaves_the_time_limit_of_statements_as_it_was() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        before = cursor.fetchone()
        invariants.find_violations()
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == before


def test_a_rule_whose_workers_die_is_reported_and_tried_the_next_night() -> None:
    violations.check_all_due()
    RuleCheck.objects.filter(rule="I17").update(
        next_run_at=read_clock(), deaths=rowqueue.MAX_DEATHS
    )

    violations.check_all_due()

    assert Case.objects.get().title == "I17 could not be checked"
    row = RuleCheck.objects.get(rule="I17")
    assert row.next_run_at is not None
    assert (row.next_run_at > read_clock(), row.deaths) == (True, 0)


# --- Many rows ------------------------------------------------------------------

ROWS = 200_000
OLD = f"""
INSERT INTO bookings_bookinghold (id, resource_id, customer_id, start_time, end_time,
    buffer_before_minutes, buffer_after_minutes, units, status, source, price_minor,
    currency, expires_at, created_at)
SELECT ('01800000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, %(resource)s,
    %(customer)s, at, at + interval '1 hour', 0, 0, '{{1}}', 'CONFIRMED', 'CUSTOMER', 0,
    'EUR', at, at - interval '1 minute'
FROM (SELECT n, timestamptz '2022-01-01' + n * interval '1 hour' AS at
      FROM generate_series(1, {ROWS}) n) moments;
INSERT INTO bookings_booking (id, reference, hold_id, resource_id, customer_id,
    start_time, end_time, units, status, price_minor, currency, cancel_reason, version,
    created_at)
SELECT id, right(id::text, 12), id, resource_id, customer_id, start_time, end_time,
    units, 'COMPLETED', 0, 'EUR', '', 1, created_at FROM bookings_bookinghold
    WHERE id < '01900000-0000-7000-8000-000000000000';
INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type, subject_id,
    from_state, to_state, reason, request_id)
SELECT 'system', 'x', 'x', kind, id::text, before, after, '', ''
FROM bookings_booking, (VALUES ('hold', '', 'ACTIVE'), ('hold', 'ACTIVE', 'CONFIRMED'),
    ('booking', '', 'CONFIRMED'), ('booking', 'CONFIRMED', 'COMPLETED'))
    AS moves (kind, before, after)
    WHERE id < '01900000-0000-7000-8000-000000000000';
"""
#: What grows for ever; the frequent check must not read it from one end to the other.
GROWING = {"bookings_bookinghold", "bookings_booking", "recovery_auditentry"}


@pytest.fixture
def many_old_rows() -> Iterator[Booking]:
    """A booking among two hundred thousand that are history, known to the planner."""
    booking = make_booking()
    owners = {"resource": booking.resource_id, "customer": booking.customer_id}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in OLD.split(";\n")[:-1]:
            cursor.execute(statement, owners)
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE")
    yield booking
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")


def partial_indexes() -> set[str]:
    """Those that have few rows, whatever their table has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
        )
        return {name for (name,) in cursor.fetchall()}


def tables_read_through(rule: Invariant, *, full: bool) -> set[str]:
    """The tables that the plan of a rule reads from one end to the other."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (FORMAT JSON) {invariants.sql_of(rule, full=full)} LIMIT 9"
        )
        (found,) = cursor.fetchone()
    nodes, read, partial = [found[0]["Plan"]["Plans"][0]], set(), partial_indexes()
    while nodes:
        node = nodes.pop()
        if node["Node Type"] == "Limit":
            continue  # the greatest id
        nodes += node.get("Plans", [])
        is_narrow = {"Index Cond", "Recheck Cond"} & set(node)
        if not is_narrow and node.get("Index Name") not in partial:
            read.add(node.get("Relation Name", ""))
    return read


def test_the_frequent_check_costs_the_same_however_much_is_history(
    many_old_rows: Booking,
) -> None:
    rules_ = invariants.registered()

    read = {rule.id: tables_read_through(rule, full=False) & GROWING for rule in rules_}
    assert {id_: tables for id_, tables in read.items() if tables} == {}

    Booking.objects.filter(pk=many_old_rows.pk).update(units=[7])
    assert broken() == {"I17"}
    # The control: over all rows they are read.
    in_full = [tables_read_through(rule, full=True) & GROWING for rule in rules_]
    assert set().union(*in_full) == GROWING


def test_staff_see_how_much_is_frozen_and_not_every_id(client: Any) -> None:
    Booking.objects.filter(pk=make_booking().pk).update(units=[7])
    tasks.check_invariants()
    case = Case.objects.get()
    client.force_login(make_staff("operations"))

    page = client.get(f"/admin/recovery/case/{case.pk}/change/").content.decode()

    assert len(case.details["frozen"]) == 2
    assert str(Booking.objects.get().pk) in page
    assert str(Booking.objects.get().hold_id) not in page
