"""Back office: what colleagues propose, and the buttons of the second person."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from recovery import approvals
from recovery.admin.cases import OwnVenuesAdmin
from recovery.backoffice import (
    HISTORY,
    ActingAdmin,
    RowAction,
    Wish,
    format_subject,
)
from recovery.models import Approval
from recovery.states import ApprovalStatus
from slotbase.lib.backoffice import ConditionFilter, OwnRowsFilter
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.columns import format_state, venue_time
from slotbase.lib.money import format_money

MAY_LOOK = "recovery.view_approval"


class StateFilter(ConditionFilter):
    """What became of it; one whose time is over does not wait."""

    title = parameter_name = "state"
    conditions = {
        "waiting": (
            "Waits for a second person",
            Q(status=ApprovalStatus.PROPOSED, expires_at__gt=Now()),
        ),
        "done": ("Agreed to and done", Q(status=ApprovalStatus.APPROVED)),
        "refused": ("Refused", Q(status=ApprovalStatus.REFUSED)),
        "over": (
            "Withdrawn, or over",
            Q(status__in=[ApprovalStatus.WITHDRAWN, ApprovalStatus.EXPIRED])
            | Q(status=ApprovalStatus.PROPOSED, expires_at__lte=Now()),
        ),
    }


def _seen(row: Approval, wish: Wish) -> dict[str, Any]:
    return {
        "approval_id": row.pk,
        "staff_id": wish.staff_id,
        "version": wish.version,
    }


def _approve(row: Approval, wish: Wish) -> None:
    approvals.approve(**_seen(row, wish))


def _refuse(row: Approval, wish: Wish) -> None:
    approvals.refuse(**_seen(row, wish), reason=wish.reason)


def _withdraw(row: Approval, wish: Wish) -> None:
    approvals.withdraw(**_seen(row, wish))


def is_waiting(row: Approval) -> bool:
    """Whether somebody can still decide it."""
    is_open: bool = row.status == ApprovalStatus.PROPOSED
    return is_open and row.expires_at > read_clock()


def _may_decide(row: Approval, staff_id: UUID) -> bool:
    return is_waiting(row) and not approvals.why_not(row, staff_id)


def _why_not(row: Approval, staff_id: UUID) -> str:
    return approvals.why_not(row, staff_id) if is_waiting(row) else ""


@admin.register(Approval)
class ApprovalAdmin(OwnVenuesAdmin, ActingAdmin[Any]):
    """What takes two people; newest first."""

    audit_subject = "approval"
    list_display = ("title", "state", "amount", "proposed_by", "venue", "until")
    list_filter: ClassVar[Any] = (StateFilter, ("venue", OwnRowsFilter))
    list_select_related: ClassVar[Any] = ("venue", "proposed_by", "decided_by")
    ordering = ("-pk",)
    # Sorting by any other column would read all rows.
    sortable_by = ()
    search_fields = ("subject_id__exact",)
    search_help_text = "Whole id of the subject"
    fieldsets: ClassVar[Any] = (
        (
            "What will be done",
            {"fields": ("title", "what", "amount", "subject", "venue", "state")},
        ),
        ("Who wants it", {"fields": ("proposed_by", "proposed", "reason", "until")}),
        ("How it ended", {"fields": ("decided_by", "decided", "decision_reason")}),
        HISTORY,
    )
    proposed = venue_time("proposed_at", "proposed")
    until = venue_time("expires_at", "waits until")
    decided = venue_time("decided_at", "ended")

    def row_actions(self, row: Approval) -> dict[str, RowAction[Any]]:
        """Approve and refuse for the second person, withdraw for the first one."""
        kind = approvals.registered().get(row.kind)
        if kind is None:
            return {}
        return {
            "approve": RowAction(
                "Approve",
                "Does now exactly what stands above; where that is not possible any"
                " more, nothing.",
                "You agreed, and it is done.",
                kind.permission,
                _approve,
                _may_decide,
                needs_step_up=True,
                why_not=_why_not,
            ),
            "refuse": RowAction(
                "Refuse",
                "Nothing is done. Say why.",
                "You refused it.",
                kind.permission,
                _refuse,
                _may_decide,
                needs_reason=True,
            ),
            "withdraw": RowAction(
                "Withdraw",
                "You do not want it any more: nothing is done.",
                "It is withdrawn.",
                MAY_LOOK,
                _withdraw,
                lambda row, by: is_waiting(row) and bool(row.proposed_by_id == by),
            ),
        }

    def hidden_fields(
        self, request: HttpRequest, obj: Approval | None = None
    ) -> tuple[str, ...]:
        """Nothing of its end while it waits."""
        hidden = tuple(super().hidden_fields(request, obj))
        ended = ("decided_by", "decided", "decision_reason")
        return hidden if obj is None or obj.decided_at else (*hidden, *ended)

    @admin.display(description="state")
    def state(self, row: Approval) -> SafeString:
        """One whose time is over waits no more, even before a sweep sees it."""
        is_over = row.status == ApprovalStatus.PROPOSED and not is_waiting(row)
        return format_state(ApprovalStatus.EXPIRED if is_over else row.status)

    @admin.display(description="amount")
    def amount(self, row: Approval) -> SafeString | str:
        """All of the money that it is about, if any."""
        if row.amount_minor is None:
            return self.get_empty_value_display()
        words = format_money(row.amount_minor, row.currency)
        return format_html('<span class="money">{}</span>', words)

    @admin.display(description="exactly")
    def what(self, row: Approval) -> SafeString:
        """Each step in words."""
        kind = approvals.registered().get(row.kind)
        lines = approvals.describe(row)
        lines = [approvals.UNREADABLE] if lines is None else lines
        steps = format_html_join("", "<div>{}</div>", [(line,) for line in lines])
        label = kind.label if kind else row.kind
        return format_html("<div>{}:</div>{}", label, steps)

    @admin.display(description="about")
    def subject(self, row: Approval) -> SafeString | str:
        """What it is about, as a link if that has a page."""
        return format_subject(row)
