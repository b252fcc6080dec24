"""Messages that no task can take, and tasks that fail or kill: a real worker, Redis."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from recovery import dead_letters
from recovery.models import Case, DeadLetter
from recovery.work import work_of
from tests.crashes.messages import broker, celery_worker, marks, put, send
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "alice@example.com"


@pytest.fixture
def log(tmp_path: Path, transactional_db: None) -> Iterator[Path]:
    """What a worker writes that is running now."""
    broker().flushdb()
    path = tmp_path / "worker.log"
    with celery_worker(path, connection.settings_dict["NAME"]):
        yield path


def the_letter(**having: Any) -> DeadLetter:
    """The one dead letter, as soon as it is like that."""

    def look() -> DeadLetter | None:
        return DeadLetter.objects.filter(**having).first()

    letter: DeadLetter = eventually(look)
    assert DeadLetter.objects.count() == 1
    return letter


def others_go_on() -> None:
    """A message that comes later is done."""
    before = marks().count("succeed")
    send("tester.succeed")
    eventually(lambda: marks().count("succeed") == before + 1)


def nothing_is_left() -> bool:
    """Whether no message waits, and none is out."""
    return broker().llen("tester") == 0 and broker().hlen("unacked") == 0


def named(task: Any, **more: Any) -> dict[str, Any]:
    return {"task": task, "id": ID, **more}


ID = "0190b8c2-0000-7000-8000-000000000001"
GOOD = "tester.succeed"
FITTING: Any = [[], {}, {}]
PICKLE = "application/x-python-serialize"
BAD_MESSAGES: dict[str, dict[str, Any]] = {
    "UnknownTask": {"headers": named("bookings.later"), "body": [[], {"id": 7}, {}]},
    "UnfitArguments": {
        "headers": named("tester.fail"),
        "body": [[], {"name": SECRET}, {}],
    },
    "UnfitArguments of positions": {"headers": named(GOOD), "body": [[SECRET], {}, {}]},
    "UnreadableMessage without a task": {"headers": {}, "body": {"hello": SECRET}},
    "UnreadableMessage that is pickled": {
        "headers": named("tester.pickled"),
        "body": SECRET,
        "content_type": PICKLE,
    },
    "UnreadableMessage that is no JSON": {"headers": named("a.b"), "body": SECRET},
    "UnreadableMessage that is no list": {
        "headers": named("c.d"),
        "body": {"hello": SECRET},
    },
    "UnreadableMessage that is shorter": {"headers": named("e.f"), "body": [SECRET]},
    "UnreadableMessage with bad keywords": {
        "headers": named("g.h"),
        "body": [[], SECRET, {}],
    },
    "UnreadableMessage that expires oddly": {
        "headers": named("tester.fail", expires=SECRET),
        "body": FITTING,
    },
}


def test_what_no_task_can_take_is_a_dead_letter_each_and_others_go_on(
    log: Path,
) -> None:
    for message in BAD_MESSAGES.values():
        put(**message)
    others_go_on()

    eventually(lambda: DeadLetter.objects.count() == len(BAD_MESSAGES))

    errors = sorted(DeadLetter.objects.values_list("last_error", flat=True))
    assert [each.split()[0] for each in errors] == [
        each.split()[0] for each in sorted(BAD_MESSAGES)
    ]
    assert set(DeadLetter.objects.values_list("is_permanent", "status")) == {
        (True, "OPEN")
    }
    unknown = DeadLetter.objects.get(task="bookings.later")
    assert (unknown.kwargs, unknown.queue) == ({"id": 7}, "tester")
    assert unknown.request_id == ID
    assert SECRET not in str(DeadLetter.objects.values())
    eventually(nothing_is_left)
    assert SECRET not in log.read_text()


def test_a_task_that_fails_is_counted_and_its_text_stays_out(log: Path) -> None:
    for _ in range(3):
        send("tester.fail", id=7)

    letter = the_letter(failures=3)

    assert (letter.kwargs, letter.is_permanent) == ({"id": 7}, False)
    assert letter.last_error.startswith("ValueError in tests.crashes.messages, line ")
    assert letter.queue == "tester"
    assert letter.request_id
    others_go_on()
    eventually(nothing_is_left)
    assert letter.last_error in log.read_text()
    assert SECRET not in log.read_text()


def test_a_task_that_is_stopped_for_taking_too_long_is_counted(log: Path) -> None:
    send("tester.take_too_long")

    letter = the_letter()

    assert letter.last_error.startswith("TimeLimitExceeded")
    others_go_on()


def test_a_task_that_kills_its_worker_is_in_quarantine_after_three_deaths(
    log: Path,
) -> None:
    send("tester.kill_worker")

    letter = the_letter(deaths=3)

    eventually(nothing_is_left)
    assert marks().count("kill") == 3
    others_go_on()
    # Beat would send it again and again; it is not done.
    send("tester.kill_worker")
    eventually(nothing_is_left)
    others_go_on()
    assert marks().count("kill") == 3
    dead_letters.retry_due()
    case = Case.objects.get()
    assert (case.kind, case.subject_id) == ("dead_letter", str(letter.pk))
    assert case.cause == "Its worker died three times."


def test_without_the_quarantine_it_would_go_on_for_ever(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send("tester.kill_worker")

    def forget_deaths() -> bool:
        DeadLetter.objects.update(deaths=0)
        return marks().count("kill") > 5

    eventually(forget_deaths)


def test_a_success_ends_what_failed_before(log: Path) -> None:
    dead_letters.record_failure(work_of("tester.succeed"), ValueError())

    send("tester.succeed")

    letter = the_letter(status="RESOLVED")
    assert letter.ended_because == "It succeeded."


def test_a_worker_without_the_database_makes_no_dead_letter(log: Path) -> None:
    send("tester.lose_database")

    others_go_on()
    eventually(nothing_is_left)
    assert DeadLetter.objects.count() == 0
