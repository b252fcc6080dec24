"""Tasks that failed and have no row: counted, tried again, and in the end a case."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from recovery import cases, dead_letters, invariants, rowqueue
from recovery.models import AuditEntry, Case, DeadLetter
from recovery.work import MASK, Work, work_of
from slotbase.lib.clock import Now
from slotbase.lib.errors import InvalidState, NotFound, ValidationFailed
from slotbase.lib.ids import uuid7
from tests.factories import make_staff

pytestmark = pytest.mark.django_db(transaction=True)

WORK = work_of("bookings.expire_holds")
DAY = timedelta(hours=24)


class Runner:
    """Runs no task, but says what it was asked for, and fails when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.error: Exception | None = None

    def __call__(self, task: str, kwargs: Mapping[str, Any]) -> None:
        assert not connection.in_atomic_block, "tasks run outside of transactions"
        self.asked.append((task, kwargs))
        if self.error:
            raise self.error


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    runner = Runner()
    monkeypatch.setattr(dead_letters, "_runner", [runner])
    return runner


def fail(work: Work = WORK, **over: Any) -> DeadLetter:
    """It failed once."""
    dead_letters.record_failure(work, ValueError("alice@example.com"), **over)
    return DeadLetter.objects.get(key=work.key, status="OPEN")


def make_due(**filters: Any) -> None:
    DeadLetter.objects.filter(next_run_at__isnull=False, **filters).update(
        next_run_at=Now()
    )


def age(by: timedelta, **filters: Any) -> None:
    """They failed first so long ago, for which the trigger must look away."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        DeadLetter.objects.filter(**filters).update(
            first_failed_at=F("first_failed_at") - by
        )


def seconds_until_due(letter: DeadLetter) -> float:
    letter.refresh_from_db()
    assert letter.next_run_at is not None
    left: timedelta = letter.next_run_at - letter.last_failed_at
    return left.total_seconds()


# --- One row for each task with its arguments ---------------------------------


def test_what_fails_every_second_is_one_row_that_counts() -> None:
    first = fail()
    for _ in range(5):
        fail()

    letter = DeadLetter.objects.get()
    assert (letter.failures, letter.task, letter.kwargs) == (6, WORK.task, {})
    assert letter.first_failed_at == first.first_failed_at < letter.last_failed_at
    assert letter.next_run_at == first.next_run_at


def test_other_arguments_are_another_row() -> None:
    for number in (1, 2, 2):
        fail(work_of("bookings.expire_holds", {"id": number}))

    counted = DeadLetter.objects.order_by("kwargs").values_list("failures", flat=True)
    assert list(counted) == [1, 2]


def test_the_error_is_told_without_its_text() -> None:
    letter = fail()

    assert letter.last_error.startswith("ValueError in ")
    assert "alice" not in str(DeadLetter.objects.values())


def test_a_failure_is_in_the_history_once() -> None:
    letter = fail()
    fail()

    entries = AuditEntry.objects.filter(subject_id=str(letter.pk))
    assert list(entries.values_list("action", "to_state")) == [
        ("dead_letter.opened", "OPEN")
    ]


def test_when_it_failed_first_never_changes() -> None:
    letter = fail()

    with pytest.raises(IntegrityError, match="never changes"):
        DeadLetter.objects.update(first_failed_at=Now())

    assert DeadLetter.objects.get().first_failed_at == letter.first_failed_at


def test_without_the_trigger_it_could_be_made_younger() -> None:
    letter = fail()

    age(-DAY)

    assert DeadLetter.objects.get().first_failed_at == letter.first_failed_at + DAY


def test_two_open_rows_of_one_task_are_refused_by_the_database() -> None:
    fail()

    with pytest.raises(IntegrityError, match="recovery_dead_letter_once"):
        DeadLetter.objects.create(key=WORK.key, task=WORK.task)


# --- What is written down -----------------------------------------------------

ID = "0190b8c2-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"id": ID}, {"id": ID}),
        ({"id": 7, "refund_id": "7"}, {"id": 7, "refund_id": "7"}),
        ({"subscriber": "bookings.settling"}, {"subscriber": "bookings.settling"}),
        ({"queue": "money"}, {"queue": "money"}),
        ({"id": "alice@example.com"}, {"id": MASK}),
        ({"id": [ID]}, {"id": MASK}),
        ({"id": True}, {"id": MASK}),
        ({"id": 2**70}, {"id": MASK}),
        ({"name": "alice"}, {"name": MASK}),
        ({"subscriber": "Alice Arnold"}, {"subscriber": MASK}),
        ({"alice@example.com": 1}, {"others": MASK}),
        ({1: 1}, {"others": MASK}),
        ("alice", {"arguments": MASK}),
    ],
)
def test_ids_are_kept_and_anything_else_is_masked(given: Any, shown: Any) -> None:
    assert work_of("bookings.expire_holds", given).kwargs == shown


@pytest.mark.parametrize("task", ["", None, 7, "x" * 101, "hello alice", "Zoë", "a\n"])
def test_a_name_that_is_none_is_masked(task: Any) -> None:
    assert work_of(task).task == MASK


def test_positions_and_floods_of_arguments_are_masked() -> None:
    assert work_of("a", {}, ["alice"]).kwargs == {"others": MASK}

    many = {chr(97 + n % 26) + "_" * (n // 26): n for n in range(100)}
    assert len(work_of("a", many).kwargs) == 11


def test_every_argument_of_our_tasks_is_kept() -> None:
    from inspect import signature

    from tests.architecture.test_the_row_is_the_queue import our_tasks

    for name, task in our_tasks().items():
        names = [
            each.name
            for each in signature(task.run).parameters.values()
            if each.kind is not each.VAR_KEYWORD
        ]
        for given in names:
            value = "money" if given in {"queue", "subscriber", "channel"} else ID
            assert work_of(name, {given: value}).kwargs == {given: value}, name


# --- Try again ----------------------------------------------------------------


def test_it_is_tried_again_after_a_quarter_of_an_hour_and_ends_when_it_succeeds(
    runner: Runner,
) -> None:
    letter = fail(work_of("payments.attempt_refund", {"id": ID}))
    assert 720 <= seconds_until_due(letter) <= 1080
    assert dead_letters.retry_due() == 0

    make_due()
    assert dead_letters.retry_due() == 1

    assert runner.asked == [("payments.attempt_refund", {"id": ID})]
    letter.refresh_from_db()
    assert (letter.status, letter.ended_because) == ("RESOLVED", "It succeeded.")
    assert letter.next_run_at is None
    assert Case.objects.count() == 0


def test_it_is_tried_five_times_farther_and_farther_apart_then_it_is_a_case(
    runner: Runner,
) -> None:
    letter, runner.error = fail(), ValueError()
    for seconds in (1800, 3600, 14400, 43200):
        make_due()
        dead_letters.retry_due()
        assert 0.8 * seconds <= seconds_until_due(letter) <= 1.2 * seconds
        assert Case.objects.count() == 0

    make_due()
    dead_letters.retry_due()

    letter.refresh_from_db()
    assert (letter.status, letter.next_run_at, letter.failures) == ("OPEN", None, 6)
    case = Case.objects.get()
    assert (case.kind, case.subject_type) == ("dead_letter", "deadletter")
    assert case.subject_id == str(letter.pk)
    assert case.title == "bookings.expire_holds fails"
    assert len(runner.asked) == 5


def test_a_setting_with_fewer_waits_means_fewer_attempts(
    runner: Runner, settings: Any
) -> None:
    settings.DEAD_LETTER_RETRY_SECONDS = [60]
    runner.error = ValueError()
    fail()

    make_due()
    dead_letters.retry_due()

    assert Case.objects.count() == 1


def test_what_is_older_than_a_day_is_a_case_whatever_attempts_are_left(
    runner: Runner,
) -> None:
    letter, runner.error = fail(), ValueError()
    age(DAY)
    make_due()

    dead_letters.retry_due()

    letter.refresh_from_db()
    assert (letter.attempts, letter.next_run_at) == (1, None)
    assert Case.objects.get().kind == "dead_letter"


def test_no_wait_goes_beyond_a_day(runner: Runner) -> None:
    letter, runner.error = fail(), ValueError()
    age(timedelta(hours=23, minutes=50))
    make_due()

    dead_letters.retry_due()

    letter.refresh_from_db()
    assert letter.next_run_at == letter.first_failed_at + DAY


def test_failures_in_between_do_not_put_off_the_day(runner: Runner) -> None:
    letter, runner.error = fail(), ValueError()
    age(DAY)
    for _ in range(3):
        fail()
    make_due()

    dead_letters.retry_due()

    assert Case.objects.get().subject_id == str(letter.pk)


@pytest.mark.parametrize("is_masked", [False, True])
def test_what_is_permanent_is_a_case_at_its_first_turn(
    runner: Runner, is_masked: bool
) -> None:
    runner.error = KeyError()
    kwargs = {"name": "alice"} if is_masked else {}
    letter = fail(work_of("bookings.unknown", kwargs), is_permanent=True)
    error = letter.last_error
    make_due()

    dead_letters.retry_due()

    letter.refresh_from_db()
    assert (letter.status, letter.next_run_at) == ("OPEN", None)
    assert Case.objects.get().subject_id == str(letter.pk)
    # What cannot be repeated was not tried, and its error is what it was.
    assert (letter.last_error == error, runner.asked == []) == (is_masked, is_masked)


def test_a_task_that_is_known_by_then_is_done_after_all(runner: Runner) -> None:
    letter = fail(work_of("bookings.new_in_the_next_version"), is_permanent=True)
    make_due()

    dead_letters.retry_due()

    letter.refresh_from_db()
    assert letter.status == "RESOLVED"


# --- It heals -----------------------------------------------------------------


def test_the_first_success_ends_it_and_its_case(runner: Runner) -> None:
    letter = fail(is_permanent=True)
    runner.error = ValueError()
    make_due()
    dead_letters.retry_due()
    found = dead_letters.find_open(WORK)
    assert found is not None

    dead_letters.record_success(letter_id=found.pk)

    letter.refresh_from_db()
    assert letter.status == "RESOLVED"
    assert Case.objects.get().status == "RESOLVED"
    assert dead_letters.find_open(WORK) is None
    # Whoever saw it succeed, too, changes nothing.
    dead_letters.record_success(letter_id=found.pk)
    moves = AuditEntry.objects.filter(subject_type="deadletter", to_state="RESOLVED")
    assert moves.count() == 1


def test_what_fails_again_within_an_hour_is_the_same_row() -> None:
    letter = fail()
    dead_letters.record_success(letter_id=letter.pk)

    again = fail()

    assert (again.pk, again.failures) == (letter.pk, 2)
    assert again.first_failed_at == letter.first_failed_at
    assert invariants.find_violations() == []


def test_what_heals_and_fails_for_more_than_a_day_is_a_case_at_the_next_sweep(
    runner: Runner,
) -> None:
    letter, runner.error = fail(), ValueError()
    age(DAY * 3)
    dead_letters.record_success(letter_id=letter.pk)

    fail()

    # It is due at once, and nobody is late with it.
    assert abs(seconds_until_due(letter)) < 5
    assert invariants.find_violations() == []
    assert dead_letters.retry_due() == 1
    assert Case.objects.get().subject_id == str(letter.pk)


def test_what_heals_and_fails_within_its_day_waits_no_longer_than_that() -> None:
    letter = fail()
    age(timedelta(hours=23, minutes=55))
    dead_letters.record_success(letter_id=letter.pk)

    fail()

    letter.refresh_from_db()
    assert letter.next_run_at == letter.first_failed_at + DAY


def test_what_fails_again_later_is_another_row() -> None:
    letter = fail()
    dead_letters.record_success(letter_id=letter.pk)
    DeadLetter.objects.update(ended_at=Now() - timedelta(hours=2))

    assert fail().pk != letter.pk


# --- Deaths -------------------------------------------------------------------


def test_three_deaths_are_quarantine_and_a_case_at_once(runner: Runner) -> None:
    letters = [dead_letters.record_death(WORK) for _ in range(3)]

    assert [dead_letters.is_quarantined(each) for each in letters] == [0, 0, 1]
    assert dead_letters.retry_due() == 1
    assert runner.asked == []
    case = Case.objects.get()
    assert case.cause == "Its worker died three times."
    assert case.subject_id == str(letters[0].pk)


def test_only_deaths_in_a_row_count() -> None:
    for _ in range(2):
        letter = dead_letters.record_death(WORK)
    dead_letters.record_success(letter_id=letter.pk)

    assert dead_letters.record_death(WORK).deaths == 1
    assert DeadLetter.objects.get().deaths == 1


def test_a_retry_by_staff_ends_the_quarantine(runner: Runner) -> None:
    for _ in range(3):
        letter = dead_letters.record_death(WORK)
    dead_letters.retry_due()

    dead_letters.retry(letter_id=letter.pk, staff_id=make_staff("operations").pk)
    dead_letters.retry_due()

    assert len(runner.asked) == 1
    assert DeadLetter.objects.get().status == "RESOLVED"
    assert Case.objects.get().close_reason == "It succeeded."


# --- What people do -----------------------------------------------------------


def give_up(work: Work = WORK) -> DeadLetter:
    """One that stands in a case."""
    letter = fail(work, is_permanent=True)
    make_due(pk=letter.pk)
    dead_letters.retry_due()
    return letter


@pytest.fixture
def given_up(runner: Runner) -> DeadLetter:
    runner.error = ValueError()
    letter = give_up()
    runner.error = None
    return letter


def test_staff_discard_it_with_a_reason_which_closes_its_case(
    given_up: DeadLetter,
) -> None:
    olga = make_staff("operations")
    with pytest.raises(ValidationFailed):
        dead_letters.discard(letter_id=given_up.pk, staff_id=olga.pk, reason=" ")

    dead_letters.discard(letter_id=given_up.pk, staff_id=olga.pk, reason="Not ours.")

    given_up.refresh_from_db()
    assert (given_up.status, given_up.ended_because) == ("DISCARDED", "Not ours.")
    assert Case.objects.get().status == "RESOLVED"
    entry = AuditEntry.objects.get(action="dead_letter.discarded")
    assert (entry.actor_kind, entry.actor_id) == ("staff", str(olga.pk))
    with pytest.raises(InvalidState):
        dead_letters.discard(letter_id=given_up.pk, staff_id=olga.pk, reason="Again.")
    with pytest.raises(InvalidState):
        dead_letters.retry(letter_id=given_up.pk, staff_id=olga.pk)
    with pytest.raises(NotFound):
        dead_letters.retry(letter_id=uuid7(), staff_id=olga.pk)


def test_what_was_discarded_and_fails_again_is_another_row(
    given_up: DeadLetter,
) -> None:
    olga = make_staff("operations")
    dead_letters.discard(letter_id=given_up.pk, staff_id=olga.pk, reason="Not ours.")

    assert fail().pk != given_up.pk


def test_what_was_not_written_down_cannot_be_tried_again(runner: Runner) -> None:
    letter = give_up(work_of("bookings.expire_holds", {"name": "alice"}))

    with pytest.raises(InvalidState):
        dead_letters.retry(letter_id=letter.pk, staff_id=make_staff("operations").pk)


def test_a_worker_that_is_at_it_is_not_overtaken(runner: Runner) -> None:
    letter, olga = fail(), make_staff("operations")

    class PressedMeanwhile(Runner):
        def __call__(self, task: str, kwargs: Mapping[str, Any]) -> None:
            with pytest.raises(InvalidState):
                dead_letters.retry(letter_id=letter.pk, staff_id=olga.pk)
            dead_letters.discard(letter_id=letter.pk, staff_id=olga.pk, reason="No.")

    dead_letters._runner[0] = PressedMeanwhile()
    make_due()
    dead_letters.retry_due()

    letter.refresh_from_db()
    assert letter.status == "DISCARDED"
    assert AuditEntry.objects.filter(action="late_record_refused").count() == 1
    assert Case.objects.count() == 0


def test_all_of_one_task_are_tried_again_and_no_more_than_asked_for(
    runner: Runner,
) -> None:
    runner.error = ValueError()
    for number in range(4):
        give_up(work_of("payments.attempt_refund", {"id": number}))
    give_up()
    runner.error = None

    olga = make_staff("operations")
    tried = dead_letters.retry_all(
        task="payments.attempt_refund", staff_id=olga.pk, limit=3
    )
    dead_letters.retry_due()

    assert tried == 3
    left = DeadLetter.objects.filter(status="OPEN").values_list("kwargs", flat=True)
    assert sorted(map(str, left)) == ["{'id': 3}", "{}"]


# --- Rules, and what is kept --------------------------------------------------


@pytest.mark.breaks_invariants
def test_one_that_is_a_day_old_without_a_case_would_be_seen() -> None:
    fail()
    age(DAY + timedelta(minutes=6))
    assert invariants.find_violations() == []

    DeadLetter.objects.update(next_run_at=Now() - timedelta(minutes=6))

    assert {each.id for each in invariants.find_violations()} == {"I11", "I18.age"}


def test_what_ended_is_kept_for_half_a_year_and_what_is_open_for_ever() -> None:
    old, new = (work_of("a.b", {"id": number}) for number in (1, 2))
    for work in (old, new):
        dead_letters.record_success(letter_id=fail(work).pk)
    DeadLetter.objects.filter(key=old.key).update(ended_at=Now() - timedelta(days=180))
    fail()

    assert dead_letters.purge_ended(limit=10) == 1

    kept = DeadLetter.objects.values_list("task", "status")
    assert sorted(kept) == [("a.b", "RESOLVED"), ("bookings.expire_holds", "OPEN")]


def test_nobody_waits_behind_rows_that_go_on_failing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10,000 permanent ones are due first; one that would succeed is the newest."""
    newest = _ten_thousand_and_one()
    tried: list[str] = []
    monkeypatch.setattr(dead_letters, "_runner", [_note(tried)])
    monkeypatch.setattr(rowqueue, "SWEEP_SECONDS", 1)

    dead_letters.retry_due()

    newest.refresh_from_db()
    assert newest.status == "RESOLVED"
    assert tried.index(newest.task) < 2


def test_from_one_end_alone_it_would_wait_for_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newest = _ten_thousand_and_one()
    from_both_ends = rowqueue._claim
    monkeypatch.setattr(dead_letters, "_runner", [_note([])])
    monkeypatch.setattr(
        rowqueue,
        "_claim",
        lambda queue, only, *, due_before, order: from_both_ends(
            queue, only, due_before=due_before
        ),
    )
    monkeypatch.setattr(rowqueue, "SWEEP_SECONDS", 1)

    dead_letters.retry_due()

    newest.refresh_from_db()
    assert newest.status == "OPEN"


TEN_THOUSAND_AND_ONE = """
WITH added AS (
    INSERT INTO recovery_deadletter (id, key, task, kwargs, queue, request_id,
        is_permanent, last_error, next_run_at)
    SELECT gen_random_uuid(), n::text, CASE n WHEN 0 THEN 'bookings.fine'
        ELSE 'bookings.unknown' END, '{}', '', '', n > 0, 'UnknownTask',
        slotbase_now() - n * interval '1 second' FROM generate_series(0, 10000) n
    RETURNING id)
INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type,
    subject_id, from_state, to_state, reason, request_id)
SELECT 'system', 't', 'dead_letter.opened', 'deadletter', id::text, '', 'OPEN', '', ''
FROM added
"""


def _ten_thousand_and_one() -> DeadLetter:
    with connection.cursor() as cursor:
        cursor.execute(TEN_THOUSAND_AND_ONE)
    return DeadLetter.objects.get(task="bookings.fine")


def _note(tried: list[str]) -> Callable[..., None]:
    def run(task: str, kwargs: Mapping[str, Any]) -> None:
        tried.append(task)
        if task == "bookings.unknown":
            raise KeyError

    return run


def test_the_case_is_closed_only_for_the_letter_that_healed(runner: Runner) -> None:
    runner.error = ValueError()
    first, second = (give_up(work_of("a.b", {"id": number})) for number in (1, 2))

    dead_letters.record_success(letter_id=first.pk)

    statuses = {
        case.subject_id: case.status in cases.IS_OPEN for case in Case.objects.all()
    }
    assert statuses == {str(first.pk): False, str(second.pk): True}
