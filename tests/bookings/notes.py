"""The sandbox as OpenAI, and what becomes of notes."""

from typing import Any

from django.db import transaction

from bookings.models import SessionFeedback
from bookings.services import enhancing
from recovery.models import AuditEntry
from slotbase.lib.clock import Now
from tests.conftest import Sandbox

CALL = "chat.completions"


def fault(sandbox: Sandbox, kind: str, **options: Any) -> None:
    """Script a fault of the coming calls."""
    one = {"provider": "openai", "operation": CALL, "fault": kind}
    sandbox.post("/_sandbox/faults", {**one, **options})


def behave(sandbox: Sandbox, mode: str, **options: Any) -> None:
    """How the model behaves from now on."""
    sandbox.post("/_sandbox/openai/mode", {"mode": mode, **options})


def calls(sandbox: Sandbox) -> int:
    """How often OpenAI was asked."""
    found = sandbox.get("/_sandbox/calls", provider="openai")["calls"]
    return [call["operation"] for call in found].count(CALL)


def requests_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    """What OpenAI was sent, of calls that it answered."""
    effects = sandbox.get("/_sandbox/effects", provider="openai")["effects"]
    return [dict(each["effect"]["request"]) for each in effects]


def enhance(**only: Any) -> int:
    """What beat asks for."""
    return enhancing.enhance_due(**only)


def make_due() -> None:
    """What waits for its next attempt need not wait any longer."""
    with transaction.atomic():
        SessionFeedback.objects.filter(next_run_at__isnull=False).update(
            next_run_at=Now()
        )


def now_of(row: SessionFeedback) -> SessionFeedback:
    """The row as it is now."""
    return SessionFeedback.objects.get(pk=row.pk)


def moves(row: SessionFeedback) -> list[str]:
    """The states that it came to, one after the other."""
    entries = AuditEntry.objects.filter(
        subject_type=SessionFeedback.subject(), subject_id=str(row.pk)
    )
    found = entries.exclude(to_state="").order_by("id")
    return [*found.values_list("to_state", flat=True)]
