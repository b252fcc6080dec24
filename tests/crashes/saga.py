"""A workflow for workers that are killed: what each step did stands in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from recovery import tasks, workflows
from recovery.models import WorkflowRun
from recovery.workflows import Step
from slotbase.providers.errors import Outcome, ProviderError
from tests.workflow import NAME, STEPS, Script, leave_effect, registered


@contextmanager
def known(fails: str = "", *, careless: bool = False) -> Iterator[None]:
    """The workflow, of which `fails` cannot be done."""
    script = Script()
    if fails:
        script.fails[fails] = ProviderError(Outcome.REFUSED, provider="acme", code="no")
    steps = tuple(
        _careless(each) if careless else _told(script, each) for each in STEPS
    )
    with registered(script, steps=steps):
        yield


def _told(script: Script, name: str) -> Step:
    """Also asks a provider, who knows a request that comes again by its id."""
    step = script.step(name)
    return Step(
        name,
        run=step.run,
        call=lambda run: ask_provider(f"{run.pk} {name}"),
        compensate=step.compensate,
        compensate_call=lambda run, output: ask_provider(f"{run.pk} undo {name}"),
    )


def _careless(name: str) -> Step:
    """Its effect is not in the transaction that records the step."""
    return Step(name, call=lambda run: leave_effect(name))


def ask_provider(key: str) -> str:
    """Done at once, outside of any transaction of ours, and once for each key."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO recovery_idempotencyrecord (principal, key, route, body_hash,"
            " status, object_id, created_at)"
            " VALUES ('acme', %s, '', '', 201, gen_random_uuid(), slotbase_now())"
            " ON CONFLICT DO NOTHING",
            [key],
        )
    return key


def asked(run: WorkflowRun) -> list[str]:
    """What the provider did for a run, in order."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT key FROM recovery_idempotencyrecord WHERE principal = 'acme'"
            " ORDER BY created_at"
        )
        return [key.removeprefix(f"{run.pk} ") for (key,) in cursor.fetchall()]


# Tasks for workers.


def advance(fails: str = "", **how: Any) -> None:
    """What beat asks for."""
    with known(fails, **how):
        tasks.advance_workflows()


def begin(subject: str) -> None:
    """A service that starts the workflow and commits."""
    with known(), transaction.atomic():
        leave_effect("begin")
        workflows.start(NAME, subject_type="thing", subject_id=subject)
