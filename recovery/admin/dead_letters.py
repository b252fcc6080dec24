"""Back office: tasks that failed and have no row of their own."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from recovery import dead_letters
from recovery.admin.engines import DueRowAdmin
from recovery.backoffice import HISTORY, RowAction, Wish, staff_id_of
from recovery.lists import RecentValuesFilter, do_to_each
from recovery.models import DeadLetter
from recovery.states import DeadLetterStatus
from slotbase.lib.backoffice import ConditionFilter
from slotbase.lib.columns import venue_time

MAY_CHANGE = "recovery.change_deadletter"
MAX_OF_A_TASK = 1000  # one statement for all of them


class TaskFilter(RecentValuesFilter):
    title = parameter_name = "task"

    def say(self, value: str) -> str:
        """As the code writes it."""
        return value


class StateFilter(ConditionFilter):
    """What became of it; what is open is served by the indexes of sweeps."""

    title = parameter_name = "state"
    conditions = {
        "due": ("Open, waiting for its next attempt", Q(next_run_at__isnull=False)),
        "waiting": (
            "Open, waiting for a person",
            Q(status=DeadLetterStatus.OPEN, next_run_at__isnull=True),
        ),
        "resolved": ("Succeeded after all", Q(status=DeadLetterStatus.RESOLVED)),
        "discarded": ("Discarded", Q(status=DeadLetterStatus.DISCARDED)),
    }


def _retry(letter: DeadLetter, wish: Wish) -> None:
    dead_letters.retry(letter_id=letter.pk, staff_id=wish.staff_id)


def _discard(letter: DeadLetter, wish: Wish) -> None:
    dead_letters.discard(
        letter_id=letter.pk, staff_id=wish.staff_id, reason=wish.reason
    )


@admin.register(DeadLetter)
class DeadLetterAdmin(DueRowAdmin):
    """Each task with its arguments that failed, and what became of it."""

    audit_subject = "deadletter"
    list_display = (
        *("work", "state", "failures", "attempts", "first_failed"),
        *("last_failed", "next_attempt", "last_error"),
    )
    list_filter = (StateFilter, TaskFilter)
    search_help_text = "Whole id of the dead letter"
    actions = ("retry_selected", "retry_all_of_their_tasks")
    fieldsets = (
        (
            "Task",
            {"fields": ("task", "arguments", "queue", "state", "request_id")},
        ),
        (
            "Failures",
            {
                "fields": (
                    *("last_error", "is_permanent", "failures", "deaths"),
                    *("first_failed", "last_failed"),
                )
            },
        ),
        (
            "Attempts",
            {
                "fields": (
                    *("attempts", "next_attempt", "case"),
                    *("ended", "ended_because"),
                )
            },
        ),
        HISTORY,
    )
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "retry": RowAction(
            "Retry",
            "Tries it again now, with all its attempts. If that succeeds, its case"
            " closes itself.",
            "It will be tried again within a minute.",
            MAY_CHANGE,
            _retry,
            lambda letter, _: dead_letters.can_retry(letter),
        ),
        "discard": RowAction(
            "Discard",
            "Gives it up for good and closes its case. Say why.",
            "It is given up.",
            MAY_CHANGE,
            _discard,
            lambda letter, _: bool(letter.status == DeadLetterStatus.OPEN),
            needs_reason=True,
        ),
    }
    first_failed = venue_time("first_failed_at", "failed first")
    last_failed = venue_time("last_failed_at", "failed last")
    ended = venue_time("ended_at", "ended")

    def row_actions(self, row: DeadLetter) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Retry and discard."""
        return self.buttons

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether this person may let them be tried again."""
        return request.user.has_perm(MAY_CHANGE)

    @admin.action(description="Retry the selected tasks", permissions=["retry"])
    def retry_selected(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Try many again."""
        staff_id = staff_id_of(request)
        do_to_each(
            request,
            rows,
            lambda pk: dead_letters.retry(letter_id=pk, staff_id=staff_id),
        )

    @admin.action(
        description=f"Retry all of the same tasks (at most {MAX_OF_A_TASK} of each)",
        permissions=["retry"],
    )
    def retry_all_of_their_tasks(
        self, request: HttpRequest, rows: QuerySet[Any]
    ) -> None:
        """After a repair: all that failed for the same reason."""
        for task in sorted(set(rows.values_list("task", flat=True)[:MAX_OF_A_TASK])):
            count = dead_letters.retry_all(
                task=task, staff_id=staff_id_of(request), limit=MAX_OF_A_TASK
            )
            messages.success(request, f"{count} of {task} will be tried again.")

    @admin.display(description="task")
    def work(self, letter: DeadLetter) -> str:
        """The task with its arguments."""
        return str(letter)

    @admin.display(description="arguments")
    def arguments(self, letter: DeadLetter) -> str:
        """Ids; what may be anything else is masked."""
        return ", ".join(f"{name}={each}" for name, each in letter.kwargs.items())
