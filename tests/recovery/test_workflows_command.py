"""`manage.py workflows`: what is under way, what is stuck, and what to do about it."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from recovery.models import AuditEntry, Case, WorkflowRun
from recovery.workflows import advance
from slotbase.lib.clock import read_clock
from slotbase.lib.ids import uuid7
from tests.workflow import NAME, Script, registered, start, the_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    with registered(script):
        yield script


@pytest.fixture
def stuck(script: Script) -> WorkflowRun:
    """One that fails after its pivot; what made it fail is gone."""
    start("7", title="Order 7K3QF")
    script.fails["ship"] = ValueError()
    advance()
    script.fails.clear()
    return the_run()


def say(*words: str) -> str:
    """What the command prints."""
    out = StringIO()
    call_command("workflows", *words, stdout=out)
    return out.getvalue()


def listed(*filters: str) -> list[str]:
    return [run["subject_id"] for run in json.loads(say("list", "--json", *filters))]


def test_runs_are_listed_in_plain_words(stuck: WorkflowRun) -> None:
    words = say()

    assert str(stuck.pk) in words
    assert "RUNNING" in words
    assert "Order 7K3QF" in words
    assert words.endswith("1 workflows.\n")
    assert say("list") == words


def test_runs_are_found_by_name_and_subject_and_if_they_are_stuck(
    stuck: WorkflowRun,
) -> None:
    start("8")
    assert listed() == ["8", "7"]
    assert listed("--limit", "1") == ["8"]
    assert listed("--name", NAME) == ["8", "7"]
    assert listed("--name", "other") == []
    assert listed("--subject", "8") == ["8"]
    assert listed("--stuck") == ["7"]

    WorkflowRun.objects.filter(subject_id="8").update(
        limit_at=read_clock(), is_late=True
    )
    assert listed("--stuck") == ["8", "7"]
    Case.objects.all().delete()
    WorkflowRun.objects.filter(subject_id="8").update(is_late=False)
    assert listed("--stuck") == []


@pytest.mark.breaks_invariants
def test_one_that_waits_for_a_person_is_stuck(script: Script) -> None:
    start("9")
    WorkflowRun.objects.update(next_run_at=None)

    assert listed("--stuck") == ["9"]
    assert "waits for a person" in say("--stuck")


def test_one_is_shown_with_its_steps_and_its_case(stuck: WorkflowRun) -> None:
    words = say("show", str(stuck.pk))

    assert "1. reserve: DONE" in words
    assert "3. ship: PENDING" in words
    assert "4. tell: PENDING" in words
    assert "ValueError in tests.workflow" in words
    assert f"Case {Case.objects.get().pk}" in words

    facts = json.loads(say("show", str(stuck.pk), "--json"))
    assert facts["case"] == str(Case.objects.get().pk)
    assert [step["status"] for step in facts["steps"]] == [
        *("DONE", "DONE", "PENDING", "PENDING")
    ]
    assert facts["steps"][2]["attempts"] == 1


def test_one_is_resumed_which_is_in_the_history(stuck: WorkflowRun) -> None:
    say("resume", str(stuck.pk))
    advance()

    assert the_run().status == "DONE"
    assert Case.objects.get().status == "RESOLVED"
    entry = AuditEntry.objects.get(action="workflow.resumed")
    assert (entry.actor_kind, entry.actor_id) == ("system", "command")
    assert "DONE, ended" in say("show", str(stuck.pk))


def test_one_is_abandoned_with_a_reason(stuck: WorkflowRun) -> None:
    with pytest.raises(CommandError, match="required: --reason"):
        say("abandon", str(stuck.pk))
    with pytest.raises(CommandError):
        say("abandon", str(stuck.pk), "--reason", " ")

    words = say("abandon", str(stuck.pk), "--reason", "Shipped by hand.")

    assert "Abandoned: Shipped by hand." in words
    assert the_run().status == "ABANDONED"
    assert Case.objects.get().status == "RESOLVED"
    entry = AuditEntry.objects.get(to_state="ABANDONED")
    assert (entry.actor_kind, entry.actor_id) == ("system", "command")


@pytest.mark.parametrize("verb", ["show", "resume", "abandon"])
def test_there_must_be_such_a_run(verb: str) -> None:
    more = ["--reason", "x"] if verb == "abandon" else []

    with pytest.raises(CommandError, match="no such workflow") as refused:
        say(verb, str(uuid7()), *more)

    assert refused.value.returncode == 1


def test_what_is_over_is_left_alone(stuck: WorkflowRun) -> None:
    say("abandon", str(stuck.pk), "--reason", "Shipped by hand.")

    with pytest.raises(CommandError, match="nothing to resume"):
        say("resume", str(stuck.pk))


@pytest.mark.parametrize(
    "words", [["show"], ["show", "7"], ["explode"], ["list", "--limit", "x"]]
)
def test_a_misspelt_command_says_so(words: list[Any]) -> None:
    with pytest.raises(CommandError):
        say(*words)
