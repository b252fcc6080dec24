"""Back office: workflows, with their steps as a timeline."""

from datetime import UTC, tzinfo
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from recovery import runs
from recovery.admin.actions import MAY_RUN
from recovery.admin.cases import OwnVenuesAdmin
from recovery.admin.engines import DueRowAdmin
from recovery.backoffice import HISTORY, RowAction, Wish, format_payload, format_subject
from recovery.lists import RecentValuesFilter
from recovery.models import WorkflowRun, WorkflowStep
from recovery.states import RunStatus
from slotbase.lib.backoffice import BackOfficeInline, ConditionFilter
from slotbase.lib.columns import badge, venue_time


class NameFilter(RecentValuesFilter):
    title, parameter_name = "workflow", "name"


class StateFilter(ConditionFilter):
    """How far a workflow is; what is open is served by the indexes of sweeps."""

    title = parameter_name = "state"
    conditions = {
        "due": ("Due, or waiting for its next attempt", Q(next_run_at__isnull=False)),
        "waiting": (
            "Waiting for a person",
            Q(finished_at__isnull=True, next_run_at__isnull=True),
        ),
        "late": ("Not finished, and late", Q(finished_at__isnull=True, is_late=True)),
        "done": ("Done", Q(status=RunStatus.DONE)),
        "compensated": ("Compensated", Q(status=RunStatus.COMPENSATED)),
        "abandoned": ("Abandoned", Q(status=RunStatus.ABANDONED)),
    }


class StepInline(BackOfficeInline[WorkflowStep, WorkflowRun]):
    """What was done, what failed, and what is still to come."""

    model = WorkflowStep
    fields = readonly_fields = (
        *("position", "name", "state", "attempts", "started", "finished"),
        *("error", "shown_output"),
    )
    ordering = ("position",)
    max_num = 0
    state = badge("status")
    started = venue_time("started_at", "started")
    finished = venue_time("finished_at", "finished")

    def zone_of(self, step: WorkflowStep) -> tzinfo:
        """That of the workflow's venue."""
        return step.run.venue.zone if step.run.venue else UTC

    @admin.display(description="output")
    def shown_output(self, step: WorkflowStep) -> SafeString | str:
        """What later steps and compensations may read."""
        return format_payload(step.output) if step.output else ""


def _resume(run: WorkflowRun, wish: Wish) -> None:
    runs.resume(run_id=run.pk, actor=wish.actor)


def _abandon(run: WorkflowRun, wish: Wish) -> None:
    runs.abandon(run_id=run.pk, actor=wish.actor, reason=wish.reason)


def _is_unfinished(run: WorkflowRun, _: Any) -> bool:
    return run.finished_at is None


@admin.register(WorkflowRun)
class WorkflowRunAdmin(OwnVenuesAdmin, DueRowAdmin):
    """What is under way in several steps, and what became of it."""

    audit_subject = "workflowrun"
    list_display = (
        *("run", "name", "subject", "state", "started", "attempts"),
        *("next_attempt", "last_error", "venue", "reference"),
    )
    list_filter = (StateFilter, NameFilter)
    list_select_related = ("venue",)
    search_help_text = "Whole id of the workflow, or of what it is about"
    fieldsets = (
        (
            "Workflow",
            {
                "fields": (
                    *("name", "state", "subject", "title", "reference", "venue"),
                    *("started", "limit", "finished", "abandoned_because"),
                )
            },
        ),
        (
            "Attempts",
            {
                "fields": (
                    *("attempts", "deaths", "next_attempt", "last_error"),
                    *("case", "request_id"),
                )
            },
        ),
        ("Input", {"fields": ("shown_input",), "classes": ("bare",)}),
        HISTORY,
    )
    inlines = (StepInline,)
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "resume": RowAction(
            "Resume",
            "Goes on at once, with all its attempts.",
            "The workflow goes on.",
            MAY_RUN,
            _resume,
            _is_unfinished,
        ),
        "abandon": RowAction(
            "Abandon",
            "Leaves it as it is, for good: nothing more is done, and nothing undone."
            " Say why, and who does what is left.",
            "The workflow is abandoned.",
            MAY_RUN,
            _abandon,
            _is_unfinished,
            needs_reason=True,
        ),
    }
    started = venue_time("started_at", "started")
    limit = venue_time("limit_at", "late after")
    finished = venue_time("finished_at", "finished")

    def row_actions(self, row: WorkflowRun) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Resume and abandon."""
        return self.buttons

    def meant_by(self, term: str) -> Q:
        """Also by what it is about, in the forms that indexes serve."""
        return super().meant_by(term) | Q(
            subject_type__in=self.subject_types(), subject_id=term
        )

    def subject_types(self) -> set[str]:
        """Those of the last thousand workflows."""
        newest = WorkflowRun.objects.order_by("-pk")
        return set(newest.values_list("subject_type", flat=True)[:1000])

    @admin.display(description="workflow")
    def run(self, run: WorkflowRun) -> str:
        """Its title, or what it is of."""
        return str(run)

    @admin.display(description="about")
    def subject(self, run: WorkflowRun) -> SafeString | str:
        """What it is about, as a link if that has a page."""
        return format_subject(run)

    @admin.display(description="input")
    def shown_input(self, run: WorkflowRun) -> SafeString | str:
        """What it was started with: ids, times, states and amounts."""
        return format_payload(run.input)
