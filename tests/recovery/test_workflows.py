"""Workflows: all steps in order, or back to the start, or a case; never lost."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from recovery import cases, invariants, rowqueue, runs, tasks, workflows
from recovery.audit import Actor
from recovery.errors import WorkflowIsRunning
from recovery.models import AuditEntry, Case, WorkflowRun, WorkflowStep
from recovery.states import CaseSeverity
from recovery.workflows import Step, advance
from slotbase.lib.clock import read_clock
from slotbase.lib.db import NotInTransaction
from slotbase.lib.errors import InvalidState, NotFound, ValidationFailed
from slotbase.lib.ids import uuid7
from slotbase.providers.errors import Outcome, ProviderError
from tests.factories import make_customer, make_staff, make_venue
from tests.workflow import (
    NAME,
    STEPS,
    Script,
    effects,
    end_leases,
    leave_effect,
    make_due,
    registered,
    start,
    states,
    take_one_turn,
    the_run,
    workflow,
)

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = ProviderError(Outcome.REFUSED, provider="acme", code="no")
BROKEN = ValueError("the text of an error may hold anything")


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    with registered(script):
        yield script


def told(run_id: Any) -> list[tuple[str, str, str]]:
    """The history of a run: what, to which state, and of which step."""
    entries = AuditEntry.objects.filter(
        subject_type="workflowrun", subject_id=str(run_id)
    ).order_by("id")
    return [(each.action, each.to_state, each.reason) for each in entries]


def seconds_until_due() -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM next_run_at - slotbase_now())"
            " FROM recovery_workflowrun"
        )
        return float(cursor.fetchone()[0])


def let_limit_pass() -> None:
    WorkflowRun.objects.update(limit_at=read_clock())


# --- Forward ------------------------------------------------------------------


def test_all_steps_are_taken_in_one_sweep_each_once(script: Script) -> None:
    start()

    assert advance() == len(STEPS)
    assert advance() == 0

    assert effects() == script.calls == list(STEPS)
    assert the_run().status == "DONE"
    assert set(states().values()) == {"DONE"}
    assert invariants.find_violations() == []


def test_a_step_knows_the_answer_of_its_call_and_keeps_its_output(
    script: Script,
) -> None:
    start("7")

    advance()

    step = WorkflowStep.objects.get(name="charge")
    assert step.output == {"answer": "charge of 7"}
    assert step.started_at <= step.finished_at
    assert (step.attempts, step.error) == (1, "")


def test_every_step_and_every_move_is_in_the_history(script: Script) -> None:
    run_id = start(done=["reserve"])

    advance()

    assert told(run_id) == [
        ("workflow.started", "RUNNING", ""),
        *[("workflow.step_done", "", name) for name in STEPS],
        ("workflow.done", "DONE", ""),
    ]


def test_what_the_starting_transaction_did_is_not_done_again(script: Script) -> None:
    start(done=["reserve", "charge"])

    advance()

    assert effects() == ["ship", "tell"]
    assert the_run().status == "DONE"


def test_a_run_of_which_all_is_done_is_finished_by_the_sweep(script: Script) -> None:
    start(done=STEPS)

    advance()

    assert (effects(), the_run().status) == ([], "DONE")


def test_a_run_commits_with_what_it_is_for_or_not_at_all(script: Script) -> None:
    with pytest.raises(NotInTransaction):
        workflows.start(NAME, subject_type="thing", subject_id="1")

    assert not WorkflowRun.objects.exists()


def test_two_runs_of_one_subject_are_not_at_work_at_once(script: Script) -> None:
    start("1")
    start("2")

    with pytest.raises(WorkflowIsRunning):
        start("1")

    advance()
    start("1")
    assert WorkflowRun.objects.filter(subject_id="1").count() == 2


def test_a_run_knows_its_input_and_whose_it_is(script: Script) -> None:
    venue, alice = make_venue(), make_customer()

    start(
        input={"amount_minor": 1250},
        venue_id=venue.pk,
        customer_id=alice.pk,
        reference="7K3QF",
        title="Order 7K3QF",
    )

    run = the_run()
    assert (run.input, run.venue, run.customer) == (
        {"amount_minor": 1250},
        venue,
        alice,
    )
    assert str(run) == "Order 7K3QF"


def test_the_task_advances_one_run_or_all(script: Script) -> None:
    first, second = start("1"), start("2")

    tasks.advance_workflows(id=str(second))
    assert WorkflowRun.objects.get(pk=first).status == "RUNNING"
    assert WorkflowRun.objects.get(pk=second).status == "DONE"

    tasks.advance_workflows()
    assert WorkflowRun.objects.get(pk=first).status == "DONE"


def test_a_step_that_fails_is_tried_again_and_the_others_are_not(
    script: Script,
) -> None:
    with registered(script, retry_seconds=lambda: [60]):
        start()
        script.fails["charge"] = BROKEN

        advance()
        assert effects() == ["reserve"]
        assert 45 < seconds_until_due() < 75
        script.fails.clear()
        make_due()
        advance()

    assert effects() == list(STEPS)
    assert script.calls == ["reserve", "charge", *STEPS[1:]]
    assert the_run().status == "DONE"
    assert not Case.objects.exists()


def test_attempts_are_counted_for_each_step_anew(script: Script) -> None:
    with registered(script, retry_seconds=lambda: [1, 1]):
        start()
        for name in STEPS[:2]:
            script.fails = {name: BROKEN}
            for _ in range(2):
                advance()
                make_due()
        script.fails.clear()
        advance()

    assert the_run().status == "DONE"
    counted = {step.name: step.attempts for step in the_run().timeline()}
    assert counted == {"reserve": 3, "charge": 3, "ship": 1, "tell": 1}


def test_an_error_is_told_without_its_text(script: Script) -> None:
    start()
    script.fails["reserve"] = BROKEN

    take_one_turn()

    error = WorkflowStep.objects.get(name="reserve").error
    assert error.startswith("ValueError in tests.workflow, line")
    assert the_run().last_error == error


# --- Back ---------------------------------------------------------------------


@pytest.mark.parametrize("error", [REFUSED, BROKEN])
@pytest.mark.parametrize("where", ["charge", "call charge"])
def test_before_the_pivot_a_failure_undoes_what_was_begun_in_reverse(
    script: Script, where: str, error: Exception
) -> None:
    run_id = start()
    script.fails[where] = error

    advance()

    assert effects() == ["reserve", "undo charge", "undo reserve"]
    assert the_run().status == "COMPENSATED"
    assert states() == {
        "reserve": "COMPENSATED",
        "charge": "COMPENSATED",
        "ship": "PENDING",
        "tell": "PENDING",
    }
    assert told(run_id)[2:] == [
        ("workflow.step_failed", "", "charge"),
        ("workflow.turned_back", "COMPENSATING", "charge"),
        ("workflow.step_compensated", "", "charge"),
        ("workflow.step_compensated", "", "reserve"),
        ("workflow.compensated", "COMPENSATED", ""),
    ]
    assert not Case.objects.exists()
    assert invariants.find_violations() == []


def test_a_compensation_gets_the_output_or_none_if_nobody_knows(
    script: Script,
) -> None:
    start("7")
    script.fails["charge"] = BROKEN

    advance()

    assert script.outputs == {"charge": None, "reserve": {"answer": "reserve of 7"}}


def test_a_step_that_killed_its_workers_is_undone_since_nobody_knows(
    script: Script,
) -> None:
    start(done=["reserve"])
    for _ in range(rowqueue.MAX_DEATHS):
        row = rowqueue._claim(workflows.QUEUE, {}, due_before=read_clock())
        workflows._call(row)  # and dies
        end_leases()

    advance()

    assert effects() == ["undo charge", "undo reserve"]
    assert the_run().status == "COMPENSATED"


def test_what_the_starting_transaction_did_is_undone_too(script: Script) -> None:
    start(done=["reserve"])
    script.fails["charge"] = BROKEN

    advance()

    assert effects() == ["undo charge", "undo reserve"]
    assert script.outputs["reserve"] is None


def test_what_began_last_is_undone_first_and_not_what_stands_last(
    script: Script,
) -> None:
    """The starting transaction did the second step, before the first one began."""
    steps = tuple(map(script.step, ("reserve", "charge", "pack", "ship")))
    with registered(script, steps=steps):
        start(done=["charge"])
        script.fails["pack"] = BROKEN

        advance()

    assert effects() == ["reserve", "undo pack", "undo reserve", "undo charge"]


def test_a_step_without_a_compensation_is_passed_over(script: Script) -> None:
    plain = Step("note", run=lambda run, answer: leave_effect("note"))
    steps = (script.step("reserve"), plain, script.step("charge"), script.step("ship"))
    with registered(script, steps=steps):
        start()
        script.fails["charge"] = BROKEN
        advance()

    assert effects() == ["reserve", "note", "undo charge", "undo reserve"]
    assert the_run().status == "COMPENSATED"
    assert states()["note"] == "DONE"


def test_a_run_in_which_nothing_can_be_undone_comes_to_its_end(script: Script) -> None:
    with registered(
        script, steps=(Step("note", call=lambda _: 1 / 0), script.step("ship"))
    ):
        start()
        advance()

    assert (the_run().status, states()["note"]) == ("COMPENSATED", "FAILED")


def test_a_compensation_that_fails_is_tried_again_and_none_happens_twice(
    script: Script,
) -> None:
    with registered(script, retry_seconds=lambda: [1]):
        start()
        script.fails = {"charge": REFUSED, "undo reserve": BROKEN}
        advance()
        assert the_run().status == "COMPENSATING"
        script.fails.pop("undo reserve")
        make_due()
        advance()

    assert effects() == ["reserve", "undo charge", "undo reserve"]
    assert the_run().status == "COMPENSATED"


# --- Neither ------------------------------------------------------------------


@pytest.mark.case("workflow_stuck", "opens")
def test_from_the_pivot_on_a_failure_opens_a_case_and_goes_on_slowly(
    script: Script,
) -> None:
    run_id = start()
    script.fails["ship"] = REFUSED

    advance()

    assert effects() == ["reserve", "charge"]
    assert the_run().status == "RUNNING"
    assert seconds_until_due() > 0.8 * workflows.SLOW_SECONDS - 5
    case = Case.objects.get()
    assert (case.kind, case.severity, case.audience) == (
        *("workflow_stuck", "high"),
        "operations",
    )
    assert (case.subject_type, case.subject_id) == ("workflowrun", str(run_id))
    assert case.cause == "acme: refused (no)"
    assert case.details["steps"][2] == "3. ship: PENDING"

    make_due()
    advance()
    case.refresh_from_db()
    assert (case.status, case.occurrences) == ("OPEN", 2)

    script.fails.clear()
    make_due()
    advance()
    case.refresh_from_db()
    assert (the_run().status, case.status) == ("DONE", "RESOLVED")
    assert effects() == list(STEPS)


def test_without_a_pivot_there_is_only_forward(script: Script) -> None:
    with registered(script, pivot=""):
        start()
        script.fails["reserve"] = REFUSED
        advance()

    assert (the_run().status, effects()) == ("RUNNING", [])
    assert Case.objects.get().status == "OPEN"


def test_a_compensation_that_cannot_be_done_has_a_case_and_goes_on_slowly(
    script: Script,
) -> None:
    start()
    script.fails = {"charge": REFUSED, "undo charge": REFUSED}

    advance()

    assert (the_run().status, effects()) == ("COMPENSATING", ["reserve"])
    assert Case.objects.get().status == "OPEN"
    script.fails.clear()
    make_due()
    advance()
    assert the_run().status == "COMPENSATED"
    assert Case.objects.get().status == "RESOLVED"


def test_a_step_that_kills_its_workers_after_the_pivot_waits_for_a_person(
    script: Script,
) -> None:
    run_id = start(done=["reserve", "charge"])
    for _ in range(rowqueue.MAX_DEATHS):
        rowqueue._claim(workflows.QUEUE, {}, due_before=read_clock())
        end_leases()

    advance()

    assert (the_run().next_run_at, the_run().status) == (None, "RUNNING")
    assert Case.objects.get().cause == "Its worker died three times."
    assert invariants.find_violations() == []

    runs.resume(run_id=run_id, actor=Actor.staff(make_staff().pk))
    advance()
    assert (effects(), the_run().status) == (["ship", "tell"], "DONE")
    assert Case.objects.get().status == "RESOLVED"


def test_a_case_has_the_kind_of_its_workflow_and_what_people_know_of_it(
    script: Script,
) -> None:
    cases.register(
        cases.Kind("tester_failed", CaseSeverity.LOW, "support", "It fails.")
    )
    venue = make_venue()
    with registered(script, case_kind="tester_failed"):
        start(venue_id=venue.pk, reference="7K3QF", title="Order 7K3QF")
        script.fails["ship"] = BROKEN
        advance()
    cases._kinds.pop("tester_failed")

    case = Case.objects.get()
    assert (case.kind, case.audience, case.venue) == ("tester_failed", "support", venue)
    assert (case.reference, case.title) == ("7K3QF", "Not finished: Order 7K3QF")


def test_wrong_credentials_do_not_count_and_their_case_closes_itself(
    script: Script,
) -> None:
    start()
    refusal = ProviderError(Outcome.CONFIGURATION, provider="acme", code="401")
    script.fails["call charge"] = refusal
    advance()

    assert (the_run().status, the_run().attempts) == ("RUNNING", 0)
    assert Case.objects.get().kind == "provider_configuration"

    script.fails.clear()
    make_due()
    advance()
    assert the_run().status == "DONE"
    assert Case.objects.get().status == "RESOLVED"


# --- Unknown definitions ------------------------------------------------------


def test_a_run_whose_workflow_is_gone_has_a_case_and_others_go_on(
    script: Script,
) -> None:
    start("lost")
    WorkflowRun.objects.update(name="gone")
    start("good")

    advance()

    assert WorkflowRun.objects.get(subject_id="good").status == "DONE"
    lost = WorkflowRun.objects.get(subject_id="lost")
    assert (lost.status, lost.attempts) == ("RUNNING", 1)
    assert lost.next_run_at is not None
    case = Case.objects.get()
    assert (case.kind, case.cause) == (
        "workflow_stuck",
        "No workflow is called gone.",
    )


def test_a_run_whose_next_step_is_gone_waits_until_it_is_there_again(
    script: Script,
) -> None:
    start()
    with registered(script, steps=(script.step("reserve"),), pivot=""):
        advance()
        assert (effects(), the_run().status) == (["reserve"], "RUNNING")
        assert Case.objects.get().cause == "tester has no step charge."
        make_due()
        advance()
        assert Case.objects.get().occurrences == 2

    with registered(script):
        make_due()
        advance()
    assert (effects(), the_run().status) == (list(STEPS), "DONE")
    assert Case.objects.get().status == "RESOLVED"


def test_an_unknown_workflow_is_in_the_end_tried_once_an_hour(settings: Any) -> None:
    settings.WORKFLOW_RETRY_SECONDS = [5]
    with registered(Script()):
        start()

    advance()
    assert seconds_until_due() < 7
    make_due()
    advance()

    assert seconds_until_due() > 2000
    assert invariants.find_violations() == []


def test_what_no_run_could_follow_is_refused_at_once(script: Script) -> None:
    with pytest.raises(ValueError, match="a step twice"):
        workflow(script, steps=(Step("a"), Step("a")), pivot="")
    with pytest.raises(ValueError, match="a pivot that is no step"):
        workflow(script, pivot="no step")
    with pytest.raises(ValueError, match="no kind of case"):
        workflows.register(workflow(script, case_kind="no_kind"))
    with pytest.raises(workflows.UnknownDefinition):
        start(done=["no step"])
    assert not WorkflowRun.objects.exists()


# --- Limits -------------------------------------------------------------------


@pytest.mark.case("workflow_stuck", "closes")
def test_a_run_over_its_limit_has_one_case_until_it_is_finished(
    script: Script,
) -> None:
    start()
    tasks.advance_workflows(id=str(uuid7()))
    assert not Case.objects.exists()
    let_limit_pass()
    WorkflowRun.objects.update(next_run_at=read_clock() + timedelta(hours=1))

    tasks.advance_workflows()
    tasks.advance_workflows()

    case = Case.objects.get()
    assert (case.occurrences, case.cause) == (1, "It is over its time limit.")
    make_due()
    tasks.advance_workflows()
    case.refresh_from_db()
    assert (the_run().status, case.status) == ("DONE", "RESOLVED")


def test_a_run_that_was_finished_in_time_is_never_late(script: Script) -> None:
    start()
    advance()
    let_limit_pass()

    assert runs.report_late_runs(limit=10) == 0


def test_the_limit_is_that_of_the_workflow(script: Script) -> None:
    start()

    assert the_run().limit_at - the_run().started_at < timedelta(seconds=1801)
    assert the_run().limit_at - the_run().started_at > timedelta(seconds=1799)


# --- People -------------------------------------------------------------------


def test_staff_resume_a_run_that_waits_with_all_its_attempts(script: Script) -> None:
    bob = make_staff()
    run_id = start()
    script.fails["ship"] = BROKEN
    advance()
    script.fails.clear()

    workflows.resume(run_id=run_id, actor=Actor.staff(bob.pk))
    advance(id=run_id)

    assert the_run().status == "DONE"
    entry = AuditEntry.objects.get(action="workflow.resumed")
    assert (entry.actor_kind, entry.actor_id) == ("staff", str(bob.pk))
    with pytest.raises(InvalidState):
        workflows.resume(run_id=run_id, actor=Actor.staff(bob.pk))
    with pytest.raises(NotFound):
        workflows.resume(run_id=uuid7(), actor=Actor.staff(bob.pk))


def test_staff_abandon_a_run_which_closes_its_case(script: Script) -> None:
    bob = make_staff()
    run_id = start()
    script.fails["ship"] = BROKEN
    advance()

    with pytest.raises(ValidationFailed):
        workflows.abandon(run_id=run_id, actor=Actor.staff(bob.pk), reason=" ")
    workflows.abandon(
        run_id=run_id, actor=Actor.staff(bob.pk), reason="Shipped by hand."
    )
    make_due()
    advance()

    run = the_run()
    assert (run.status, run.next_run_at) == ("ABANDONED", None)
    assert run.abandoned_because == "Shipped by hand."
    assert effects() == ["reserve", "charge"]
    assert Case.objects.get().status == "RESOLVED"
    entry = AuditEntry.objects.get(action="workflow.abandoned")
    assert (entry.actor_kind, entry.reason) == ("staff", "")
    with pytest.raises(InvalidState):
        workflows.abandon(run_id=run_id, actor=Actor.staff(bob.pk), reason="Again.")


def test_a_run_that_a_worker_has_is_not_abandoned_and_a_late_worker_loses(
    script: Script,
) -> None:
    bob, run_id = make_staff(), start()
    late = rowqueue._claim(workflows.QUEUE, {}, due_before=read_clock())
    assert late is not None

    with pytest.raises(InvalidState):
        workflows.abandon(run_id=run_id, actor=Actor.staff(bob.pk), reason="x")
    end_leases()
    workflows.abandon(run_id=run_id, actor=Actor.staff(bob.pk), reason="x")
    rowqueue._run(workflows.QUEUE, late)

    assert (effects(), the_run().status) == ([], "ABANDONED")
    assert AuditEntry.objects.filter(action="late_record_refused").count() == 1


# --- Retention ----------------------------------------------------------------


def test_finished_runs_go_after_their_time_and_others_stay(script: Script) -> None:
    start("old")
    advance()
    WorkflowRun.objects.update(finished_at=read_clock() - timedelta(days=91))
    start("new")
    advance()
    start("open")
    WorkflowRun.objects.filter(subject_id="open").update(
        started_at=read_clock() - timedelta(days=91)
    )

    tasks.purge_history()

    left = WorkflowRun.objects.values_list("subject_id", flat=True)
    assert sorted(left) == ["new", "open"]
    assert WorkflowStep.objects.count() == 2 * len(STEPS)
