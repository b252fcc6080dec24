"""Celery carries wake-ups and decides nothing: rows are the queue (ADR 0006)."""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist

from recovery import rowqueue
from slotbase.celery import app
from slotbase.devstack.stack import QUEUES
from slotbase.lib.errors import NotFound
from slotbase.schedule import SCHEDULE, Entry
from slotbase.worker import WITH_ROWS
from tests.architecture.source import PACKAGES, Source, breaches, planted

LONGEST_INTERVAL_SECONDS = 300
# Celery would keep a plan of its own in the broker, which may be emptied at any time.
PLANS = {"eta", "countdown", "bind", "autoretry_for", "max_retries", "crontab"}
LABELS = {"bookings", "payments", "notifications", "recovery", "accounts"}


def our_tasks() -> dict[str, Any]:
    """The registered tasks of the product, by name."""
    app.loader.import_default_modules()
    return {
        name: task
        for name, task in app.tasks.items()
        if task.run.__module__.split(".")[0] in PACKAGES
    }


def faults_of_task(name: str, run: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(run).parameters.values()
    faults = []
    if name.split(".", maxsplit=1)[0] not in LABELS:
        faults.append("not named app.verb_noun")
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        faults.append("does not accept what a later version may send (**_)")
    if any(
        each.kind not in {each.VAR_KEYWORD, each.KEYWORD_ONLY} for each in parameters
    ):
        faults.append("has positional parameters")
    if inspect.signature(run).return_annotation is not None:
        faults.append("returns something")
    return faults


def faults_of_entry(entry: Entry, tasks: Mapping[str, Any]) -> list[str]:
    faults = []
    if entry.task not in tasks:
        faults.append(f"no task {entry.task}")
    if entry.queue not in QUEUES.split(","):
        faults.append(f"no worker listens to {entry.queue}")
    if not 0 < entry.seconds <= LONGEST_INTERVAL_SECONDS:
        faults.append(f"every {entry.seconds} s")
    return faults


def plans_in_the_broker(source: Source) -> Iterator[str]:
    for node in source.nodes(ast.Call):
        assert isinstance(node, ast.Call)
        for keyword in node.keywords:
            # "Never again" plans nothing.
            if keyword.arg in PLANS and ast.unparse(keyword) != "max_retries=0":
                yield source.at(node, f"{keyword.arg}=")
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name == "retry" and ast.unparse(node.func).startswith(("self.", "task.")):
            yield source.at(node, ast.unparse(node.func))


def test_every_task_takes_keywords_and_returns_nothing() -> None:
    tasks = our_tasks()

    assert "bookings.expire_holds" in tasks
    faulty = {name: faults_of_task(name, task.run) for name, task in tasks.items()}
    assert {name: faults for name, faults in faulty.items() if faults} == {}


def returns_something(**_: object) -> int:
    return 1


def takes_a_position(hold_id: str, **_: object) -> None: ...


def takes_no_more(*, hold_id: str) -> None: ...


@pytest.mark.parametrize("run", [returns_something, takes_a_position, takes_no_more])
def test_a_task_with_a_fault_would_be_seen(run: Callable[..., Any]) -> None:
    assert len(faults_of_task("bookings.planted", run)) == 1


def test_a_task_outside_the_apps_would_be_seen() -> None:
    def run(**_: object) -> None: ...

    assert faults_of_task("planted", run) == ["not named app.verb_noun"]


def test_every_beat_entry_wakes_a_task_that_a_worker_listens_for() -> None:
    faulty = {
        name: faults_of_entry(each, our_tasks()) for name, each in SCHEDULE.items()
    }

    assert SCHEDULE
    assert {name: faults for name, faults in faulty.items() if faults} == {}


@pytest.mark.parametrize(
    "entry",
    [
        Entry("bookings.unknown", "bookings", 1),
        Entry("bookings.expire_holds", "nobody", 1),
        Entry("bookings.expire_holds", "bookings", 301),
        Entry("bookings.expire_holds", "bookings", 0),
    ],
)
def test_a_beat_entry_with_a_fault_would_be_seen(entry: Entry) -> None:
    assert len(faults_of_entry(entry, our_tasks())) == 1


@pytest.mark.django_db(transaction=True)
def test_only_tasks_that_work_on_rows_leave_it_to_them_to_count_deaths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: set[str] = set()
    given = {"subscriber": "analytics", "queue": "money", "channel": "webhook"}

    for name, task in our_tasks().items():
        if task.run.__module__.startswith("tests."):
            continue
        monkeypatch.setattr(
            rowqueue, "run_due", lambda *_, _name=name, **__: asked.add(_name) or 0
        )
        wanted = inspect.signature(task.run).parameters
        # An id of nothing is nothing to do, or an error.
        with suppress(NotFound, ObjectDoesNotExist):
            task(
                **{each: given[each] for each in wanted if each in given},
                **({"refund_id": str(uuid4())} if "refund_id" in wanted else {}),
            )

    assert asked == WITH_ROWS


def test_no_plan_is_kept_in_the_broker() -> None:
    assert breaches(plans_in_the_broker) == []


@pytest.mark.parametrize(
    "fault",
    [
        "self.retry(exc=error)",
        "expire_holds.apply_async(countdown=5)",
        "expire_holds.apply_async((), eta=later)",
        "@shared_task(bind=True)\ndef f(self, **_): ...",
        "@shared_task(autoretry_for=(ValueError,))\ndef f(**_): ...",
    ],
)
def test_a_plan_in_the_broker_would_be_seen(fault: str) -> None:
    assert [*plans_in_the_broker(planted(fault))]
