"""What workflows consist of. Apps register theirs; `recovery.workflows` runs them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from recovery import cases
from recovery.models import WorkflowRun

Output = Mapping[str, Any] | None


class UnknownDefinition(Exception):
    """There is no code for a run, or for its next step; the text says for what."""


@dataclass(frozen=True)
class Step:
    """One thing to do, and how to undo it.

    `call(run)` comes first, outside of any transaction. It may talk to providers and
    may run more than once, so what it asks of them must carry an id that stays the
    same. `run(run, answer)` gets what it returned, in the transaction that records the
    step, so its effect happens once; it returns the output of the step, as JSON with
    ids, times, states and amounts. Undoing is the same: `compensate_call(run, output)`,
    then in its transaction `compensate(run, output)`. The output is None if the step
    failed or nobody knows, so both must do nothing where there is no effect.
    """

    name: str
    run: Callable[[WorkflowRun, Any], Output] = lambda _run, _answer: None
    call: Callable[[WorkflowRun], Any] = lambda _: None
    compensate: Callable[[WorkflowRun, Output], None] | None = None
    compensate_call: Callable[[WorkflowRun, Output], Any] | None = None


@dataclass(frozen=True)
class Workflow:
    """Steps in their order. From the step `pivot` on there is only forward.

    Without a pivot that holds from the start. A run that is not finished after
    `limit_seconds` has a case of `case_kind`, which closes itself when it is.
    """

    name: str
    steps: tuple[Step, ...]
    limit_seconds: int
    pivot: str = ""
    case_kind: str = "workflow_stuck"
    retry_seconds: Callable[[], Sequence[int]] = lambda: settings.WORKFLOW_RETRY_SECONDS

    def __post_init__(self) -> None:
        """Refuse what no run could follow."""
        names = self.names
        if len(set(names)) < len(names) or self.pivot not in {"", *names}:
            raise ValueError(f"{self.name}: a step twice, or a pivot that is no step.")

    @property
    def names(self) -> list[str]:
        """Of its steps, in order."""
        return [step.name for step in self.steps]

    def step(self, name: str) -> Step:
        """The step of this name.

        Raises:
            UnknownDefinition: there is none, or none any more.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise UnknownDefinition(f"{self.name} has no step {name}.")

    def can_turn_back(self, name: str) -> bool:
        """Whether this step lies before the pivot."""
        return name in self.names[: self.names.index(self.pivot) if self.pivot else 0]


_workflows: dict[str, Workflow] = {}


def register(workflow: Workflow) -> None:
    """Make a workflow known; its kind of case must be known already."""
    if workflow.case_kind not in cases.registered():
        raise ValueError(f"{workflow.name}: no kind of case {workflow.case_kind}.")
    _workflows[workflow.name] = workflow


def unregister(name: str) -> None:
    """Forget a workflow; its runs wait until it is known again."""
    _workflows.pop(name, None)


def find(name: str) -> Workflow | None:
    """The workflow of this name, if it is known."""
    return _workflows.get(name)


def get(name: str) -> Workflow:
    """The workflow of this name.

    Raises:
        UnknownDefinition: there is none, or none any more.
    """
    if (workflow := find(name)) is None:
        raise UnknownDefinition(f"No workflow is called {name}.")
    return workflow
