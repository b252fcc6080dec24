"""Broken invariants become cases, and what is broken is not written until they close.

Beat checks what is new or open every five minutes. Each rule is a due row as well: once
a night it is checked over all rows, in a turn of its own, so that a slow one keeps none
of the others waiting. Nothing is repaired here: people find out first what happened.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from recovery import cases, invariants, rowqueue
from recovery.errors import Frozen
from recovery.invariants import Violation
from recovery.models import Case, RuleCheck
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required

KIND = "invariant_violation"
NIGHT = timedelta(hours=3)  # UTC: few are awake, and nothing else is due then

log = structlog.get_logger(__name__)


def check_recent() -> None:
    """Check what is new or open; a rule that has a case is checked over all rows.

    So a case about an old row does not close because nobody looked at that row.
    """
    with_case = _open_cases().values_list("subject_id", flat=True)
    report(invariants.find_violations(in_full=set(with_case)))


@retry_on_conflict
def report(found: Sequence[Violation]) -> None:
    """Open a case for each violation and close those of rules that hold."""
    by_rule = {violation.id: violation for violation in found}
    for rule in invariants.registered():
        _tell(rule.id, by_rule.get(rule.id))


@transaction_required
def _tell(rule: str, violation: Violation | None) -> None:
    """One rule was checked, or could not be: then what is known of it stays."""
    if violation and violation.not_checked:
        _open(violation, f"not_checked:{rule}", f"{rule} could not be checked")
        return
    cases.close_by_itself(f"{KIND}:not_checked:{rule}", "It was checked.")
    if violation:
        _open(violation, rule, f"{rule} is broken: {violation.says}")
    else:
        cases.close_by_itself(f"{KIND}:{rule}", "The check is clean again.")


@transaction_required
def _open(violation: Violation, name: str, title: str) -> None:
    log.error(
        "invariant_violated",
        id=violation.id,
        rows=violation.rows,
        not_checked=violation.not_checked,
    )
    cases.open_case(
        cases.Opening(
            kind=KIND,
            fingerprint=f"{KIND}:{name}",
            title=title,
            subject_type="invariant",
            subject_id=violation.id,
            cause=violation.not_checked,
            details={"rows": violation.rows, "frozen": violation.frozen},
        )
    )


# --- What is broken is frozen -------------------------------------------------


def refuse_if_broken(*ids: UUID | None) -> None:
    """Before something is changed: no open case names it, or what belongs to it.

    Raises:
        Frozen: it breaks a rule, and a person looks at it.
    """
    wanted = [str(each) for each in ids if each is not None]
    if _open_cases().filter(details__frozen__has_any_keys=wanted).exists():
        raise Frozen


def broken_ids() -> list[str]:
    """What must not be changed now, for sweeps to leave alone."""
    named = _open_cases().values_list("details__frozen", flat=True)
    return [each for ids in named for each in ids or ()]


def _open_cases() -> Any:
    return Case.objects.filter(kind=KIND, status__in=cases.IS_OPEN)


# --- Every night, over all rows -----------------------------------------------


def check_all_due() -> int:
    """Check the rules whose night it is over all rows; returns how many."""
    known = set(RuleCheck.objects.values_list("rule", flat=True))
    new = [each.id for each in invariants.registered() if each.id not in known]
    if new:
        RuleCheck.objects.bulk_create(
            [RuleCheck(rule=each) for each in new], ignore_conflicts=True
        )
    return rowqueue.run_due(QUEUE)


def _check(row: RuleCheck) -> Violation | None:
    rule = invariants.get(row.rule)
    return invariants.check(rule) if rule else None


def _record(row: RuleCheck, violation: Violation | None) -> Mapping[str, Any]:
    _tell(row.rule, violation)
    if invariants.get(row.rule) is None:
        return {"next_run_at": None}  # nobody has such a rule any more
    return {"next_run_at": _next_night(), "attempts": 0, "deaths": 0}


def _fail(
    row: RuleCheck,
    failure: rowqueue.Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    """A rule whose workers died is tried again the next night, and people know."""
    if not is_over:
        return {}
    says = (rule := invariants.get(row.rule)) and rule.says
    _tell(row.rule, Violation(row.rule, says or "", [], not_checked=failure.error))
    return {"next_run_at": _next_night(), "attempts": 0, "deaths": 0}


def _next_night() -> Any:
    today = read_clock().replace(hour=0, minute=0, second=0, microsecond=0)
    night = today + NIGHT
    return night if night > read_clock() else night + timedelta(days=1)


QUEUE = rowqueue.RowQueue(
    name="invariants",
    model=RuleCheck,
    call=_check,
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: (60, 600, 3600),
)
