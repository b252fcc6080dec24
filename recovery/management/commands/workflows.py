"""`manage.py workflows`: what is under way in several steps, and what is stuck.

Exit 0: it is done. 1: there is no such run, or it was refused. 2: a misspelt command.
"""

import json
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from recovery import audit, cases, runs
from recovery.models import WorkflowRun, WorkflowStep
from slotbase.lib.errors import DomainError

#: Accounts on servers are shared, and a name would stand in the history for ever.
ACTOR = audit.Actor.system("command")
SHOWN = 50


class Command(BaseCommand):
    help = "List workflows and their steps; resume or abandon one that is stuck."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`list` (which may be left out), `show`, `resume`, `abandon`."""
        _take_filters(parser)
        verbs = parser.add_subparsers(dest="verb", metavar="list|show|resume|abandon")
        _take_filters(verbs.add_parser("list", help="The newest first."))
        for verb, says in (
            ("show", "One, with its steps."),
            ("resume", "Let it go on at once, with all its attempts."),
            ("abandon", "Leave it as it is, for good: nothing more, nothing undone."),
        ):
            of_one = verbs.add_parser(verb, help=says)
            of_one.add_argument("run", type=UUID, help="Its id.")
            of_one.add_argument("--json", action="store_true", help="For machines.")
            if verb == "abandon":
                of_one.add_argument(
                    "--reason", required=True, help="Why, and who does what is left."
                )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Do it.

        Raises:
            CommandError: there is no such run, or it was refused.
        """
        verb = options["verb"] or "list"
        if verb == "list":
            self._list(options)
            return
        _find(options["run"])
        try:
            self._act(verb, options)
        except DomainError as error:
            raise CommandError(str(error)) from error
        self._show(_find(options["run"]), as_json=options["json"])

    def _act(self, verb: str, options: dict[str, Any]) -> None:
        run_id = options["run"]
        if verb == "resume":
            runs.resume(run_id=run_id, actor=ACTOR)
        elif verb == "abandon":
            runs.abandon(run_id=run_id, actor=ACTOR, reason=options["reason"])

    def _list(self, options: dict[str, Any]) -> None:
        found = runs.list_runs(
            is_stuck=options["stuck"],
            name=options["name"],
            subject=options["subject"],
            limit=options["limit"],
        )
        if options["json"]:
            self._write_json([_facts(run) for run in found])
            return
        for run in found:
            self.stdout.write(f"{run.pk}  {run.status:<12}  {_say_next(run)}  {run}")
        word = "stuck workflows" if options["stuck"] else "workflows"
        self.stdout.write(f"{len(found)} {word}.")

    def _show(self, run: WorkflowRun, *, as_json: bool) -> None:
        if as_json:
            steps = [_facts_of_step(step) for step in run.timeline()]
            self._write_json({**_facts(run), "steps": steps})
            return
        self.stdout.write(f"{run}\n{run.name}, {run.status}, {_say_next(run)}")
        for step in run.timeline():
            self.stdout.write(_say_step(step))
        for words in _say_trouble(run):
            self.stdout.write(words)

    def _write_json(self, facts: Any) -> None:
        self.stdout.write(json.dumps(facts, default=str))


def _take_filters(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--stuck", action="store_true", help="Late, waiting, in a case."
    )
    parser.add_argument("--name", default="", help="Of the workflow.")
    parser.add_argument("--subject", default="", help="The id of what it is about.")
    parser.add_argument("--limit", type=int, default=SHOWN, help="How many at most.")
    parser.add_argument("--json", action="store_true", help="For machines.")


def _find(run_id: UUID) -> WorkflowRun:
    run = WorkflowRun.objects.filter(pk=run_id).first()
    if run is None:
        raise CommandError("There is no such workflow.")
    return run


def _say_next(run: WorkflowRun) -> str:
    if run.finished_at is not None:
        return f"ended {run.finished_at:%Y-%m-%d %H:%M}Z"
    if run.next_run_at is None:
        return "waits for a person"
    return f"due {run.next_run_at:%Y-%m-%d %H:%M}Z{', late' if run.is_late else ''}"


def _say_step(step: WorkflowStep) -> str:
    at = step.finished_at or step.started_at
    words = [f"{step.position}. {step.name}: {step.status}"]
    words += [f"{at:%Y-%m-%d %H:%M:%S}Z"] if at else []
    words += [f"{step.attempts} attempts"] if step.attempts > 1 else []
    words += [step.error] if step.error else []
    return "  " + ", ".join(words)


def _say_trouble(run: WorkflowRun) -> list[str]:
    case = runs.case_of(run)
    is_open = case is not None and case.status in cases.IS_OPEN
    words = [f"Last error: {run.last_error}"] if run.last_error else []
    words += [f"Abandoned: {run.abandoned_because}"] if run.abandoned_because else []
    return words + ([f"Case {case.pk}: {case.cause}"] if case and is_open else [])


def _facts(run: WorkflowRun) -> dict[str, Any]:
    case = runs.case_of(run)
    names = (
        *("name", "subject_type", "subject_id", "status", "title", "reference"),
        *("started_at", "limit_at", "is_late", "finished_at", "next_run_at"),
        *("attempts", "deaths", "last_error", "abandoned_because", "request_id"),
    )
    facts = {name: getattr(run, name) for name in names}
    return {"id": run.pk, **facts, "case": case and case.pk}


def _facts_of_step(step: WorkflowStep) -> dict[str, Any]:
    names = ("name", "status", "attempts", "started_at", "finished_at", "error")
    return {name: getattr(step, name) for name in names}
