"""Broken invariants become cases, and the cases close when the check is clean again."""

from collections.abc import Sequence

import structlog

from recovery import cases
from recovery.invariants import Violation, registered
from slotbase.lib.db import retry_on_conflict

log = structlog.get_logger(__name__)


@retry_on_conflict
def report(broken: Sequence[Violation]) -> None:
    """Open a case for each broken rule and close those of rules that hold."""
    for violation in sorted(broken, key=lambda each: each.id):
        log.error("invariant_violated", id=violation.id, rows=violation.rows)
        cases.open_case(
            cases.Opening(
                kind="invariant_violation",
                fingerprint=_fingerprint(violation.id),
                title=f"{violation.id} is broken: {violation.says}",
                subject_type="invariant",
                subject_id=violation.id,
                details={"rows": violation.rows},
            )
        )
    ids = {violation.id for violation in broken}
    for rule in registered():
        if rule.id not in ids:
            cases.close_by_itself(_fingerprint(rule.id), "The check is clean again.")


def _fingerprint(rule: str) -> str:
    return f"invariant_violation:{rule}"
