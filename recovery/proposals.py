"""What takes two people, on the pages of staff: proposed in one step, and shown."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from recovery import approvals
from recovery.errors import ApprovalRequired


def propose(needed: ApprovalRequired, *, staff_id: UUID, reason: str) -> str:
    """Ask a colleague to agree to what one may not do alone; says so.

    Raises:
        ValidationFailed: without a reason.
        AlreadyProposed: somebody did before.
    """
    approvals.propose(needed.proposal, staff_id=staff_id, reason=reason)
    hours = -(-settings.APPROVAL_SECONDS // 3600)
    return f"Proposed: somebody else has to agree within {hours} h."


def do_or_propose(do: Callable[[], object], *, staff_id: UUID, reason: str) -> str:
    """Do it, or propose it where that takes two; empty words if it is done.

    Raises:
        ValidationFailed, AlreadyProposed: as `propose`.
    """
    try:
        do()
    except ApprovalRequired as needed:
        return propose(needed, staff_id=staff_id, reason=reason)
    return ""


def show_proposals(subject_type: str, *ids: Any) -> list[SafeString]:
    """What waits for a second person about these, as links to their pages."""
    return [
        format_html(
            '<a href="{}">{}</a>, proposed by {}',
            reverse("admin:recovery_approval_change", args=[each.pk]),
            each.title,
            each.proposed_by,
        )
        for each in approvals.list_open(subject_type, *ids)
    ]
