"""Four eyes: what staff give back beyond a limit takes a second person.

A service that gives money back is made `by_two`. It first does all of it, under the
payable's lock, and then asks `require_two`: alone that is too much, the transaction is
undone, and whoever called gets `ApprovalRequired` with what was asked for. When a
colleague agrees, the same service runs with the same words and a `Second`, for whom it
must come to exactly the same amounts of the same payments.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, get_type_hints
from uuid import UUID

from django.conf import settings
from django.db.models import F, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from payments.errors import PayableHasChanged
from payments.locks import lock_decisions_of
from payments.models import Payable, Refund
from payments.states import RefundReason
from recovery import approvals, audit
from recovery.approvals import Kind, Proposal
from recovery.errors import ApprovalRequired
from recovery.models import Approval, AuditEntry
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.money import exponent, format_money

P = ParamSpec("P")
R = TypeVar("R")

MAY_APPROVE = "payments.approve_refund"
COUNTED_WITHIN = timedelta(hours=24)
#: In the history, with the amount: what one person did alone, to be counted.
LET_GO, FORGONE = "refund.let_go_alone", "payable.fee_lowered_alone"
#: What can be kept in the terms of a proposal; anything else is looked at anew.
FROZEN = (UUID, datetime, str, int)
READ: Mapping[Any, Callable[[str], Any]] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
}


@dataclass(frozen=True)
class Second:
    """A colleague agreed to give back exactly this."""

    approver_id: UUID
    refunds: list[dict[str, Any]]


class _TooMuch(Exception):
    """For one person; who asked for it learns what to propose."""

    def __init__(
        self, payable: Payable, frozen: list[dict[str, Any]], about: Any
    ) -> None:
        super().__init__()
        self.payable = payable
        self.about = about or ("payable", payable.pk)
        self.refunds = frozen
        self.amount_minor = sum(each["amount_minor"] for each in frozen)
        self.currency = frozen[0]["currency"]


def _freeze(refund: Refund) -> dict[str, Any]:
    """What of which payment, by a name that stays the same."""
    payment = refund.payment
    is_card = refund.card_payment_id is not None
    return {
        "payment": payment.provider_id if is_card else str(payment.pk),
        "of": str(payment),
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
    }


# --- The guard ------------------------------------------------------------------


@transaction_required
def require_two(
    payable: Payable,
    refunds: Iterable[Refund],
    *,
    staff_id: UUID,
    second: Second | None,
    about: tuple[str, Any] | None = None,
) -> None:
    """Refuse what one person may not promise back of a locked payable.

    Called when the refunds are there, in the transaction that made them. With a
    `second` they are marked as agreed to; `about` is what a proposal would be about.

    Raises:
        PayableHasChanged: it is not exactly what the second person agreed to.
    """
    promised = list(refunds)
    if second is not None:
        _mark(promised, second)
        return
    # Two at once, of two sales, would not see each other.
    lock_decisions_of(staff_id)
    for currency in {refund.currency for refund in promised}:
        of_sale, of_day = _sums(payable, staff_id, currency)
        if max(of_sale, of_day) > limit_minor(currency):
            raise _TooMuch(payable, [_freeze(each) for each in promised], about)


@transaction_required
def require_two_for(
    refund: Refund,
    *,
    staff_id: UUID,
    second: Second | None,
    about: Refund | None = None,
) -> None:
    """Refuse what one person may not let go: to hand it out, or to send it again.

    With all that they let go alone within a day, since many small ones are a large one
    too. `about` is the refund that a proposal would be about, if it is another one.

    Raises:
        PayableHasChanged: it is not exactly what the second person agreed to.
    """
    if second is not None:
        _mark([refund], second)
        return
    lock_decisions_of(staff_id)
    of_day = _noted(_of_staff(staff_id), LET_GO, refund.currency)
    if of_day + refund.amount_minor > limit_minor(refund.currency):
        subject = ("refund", (about or refund).pk)
        raise _TooMuch(refund.payable, [_freeze(refund)], subject)
    _note(LET_GO, ("refund", refund.pk), staff_id, refund.amount_minor, refund.currency)


@transaction_required
def require_two_to_forgo(
    payable: Payable,
    amount_minor: int,
    *,
    staff_id: UUID,
    second: Second | None,
    about: tuple[str, Any],
) -> None:
    """Refuse that one person lets a customer of a locked payable cancel for much less.

    What is not kept then goes back by itself, and nobody is asked any more: so it
    counts as if it were given back now.

    Raises:
        PayableHasChanged: it is not exactly what the second person agreed to.
    """
    currency = payable.currency
    forgone = {
        "payment": str(payable.pk),
        "of": "what a cancellation would keep",
        "amount_minor": amount_minor,
        "currency": currency,
    }
    if second is not None:
        _require_same([forgone], second)
        return
    lock_decisions_of(staff_id)
    _note(FORGONE, ("payable", payable.pk), staff_id, amount_minor, currency)
    if max(_sums(payable, staff_id, currency)) > limit_minor(currency):
        raise _TooMuch(payable, [forgone], about)


def limit_minor(currency: str) -> int:
    """What one person may give back alone, in minor units."""
    limit: int = settings.FOUR_EYES_MAJOR * 10 ** exponent(currency)
    return limit


def _sums(payable: Payable, staff_id: UUID, currency: str) -> tuple[int, int]:
    """What staff gave back alone: of this sale, and this person within a day."""
    alone = _decided_alone().filter(currency=currency)
    today = alone.filter(requested_by=staff_id, created_at__gt=Now() - COUNTED_WITHIN)
    sale = AuditEntry.objects.filter(subject_type="payable", subject_id=str(payable.pk))
    return (
        _total(alone.filter(payable=payable)) + _noted(sale, FORGONE, currency),
        _total(today) + _noted(_of_staff(staff_id), FORGONE, currency),
    )


def _decided_alone() -> QuerySet[Refund]:
    """Each decision once: what is sent again, since it failed, was decided before.

    A customer who cancels asks for a refund as well, and decides nothing.
    """
    return Refund.objects.filter(
        origin=F("pk"),
        approved_by=None,
        requested_by__isnull=False,
        reason__in=[RefundReason.STAFF, RefundReason.CANCELLED],
    ).exclude(requested_by=F("payable__customer"))


def _total(refunds: QuerySet[Refund]) -> int:
    return refunds.aggregate(total=Sum("amount_minor"))["total"] or 0


def _of_staff(staff_id: UUID) -> QuerySet[AuditEntry]:
    """What one member of staff did within a day, by the index of their history."""
    theirs = AuditEntry.objects.filter(actor_kind="staff", actor_id=str(staff_id))
    before = theirs.filter(at__lte=Now() - COUNTED_WITHIN).order_by("-id")
    return theirs.filter(id__gt=Coalesce(Subquery(before.values("id")[:1]), 0))


def _noted(entries: QuerySet[AuditEntry], action: str, currency: str) -> int:
    """The sum of what `_note` wrote."""
    words = entries.filter(action=action, reason__endswith=f" {currency}")
    return sum(int(each.split()[0]) for each in words.values_list("reason", flat=True))


@transaction_required
def _note(
    action: str,
    about: tuple[str, Any],
    staff_id: UUID,
    amount_minor: int,
    currency: str,
) -> None:
    """One person was enough for this: on record, and counted for a day."""
    subject, id_ = about
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action=action,
        subject=subject,
        ids=[id_],
        reason=f"{amount_minor} {currency}",
    )


def _require_same(frozen: list[dict[str, Any]], second: Second) -> None:
    if frozen != second.refunds:
        raise PayableHasChanged("It is not what was proposed: propose it anew.")


@transaction_required
def _mark(refunds: list[Refund], second: Second) -> None:
    _require_same([_freeze(each) for each in refunds], second)
    ids = [each.pk for each in refunds]
    Refund.objects.filter(pk__in=ids).update(approved_by=second.approver_id)
    audit.record(
        actor=audit.Actor.staff(second.approver_id),
        action="refund.approved",
        subject="refund",
        ids=ids,
    )


# --- Services that need two -------------------------------------------------------


def by_two(
    name: str,
    label: str,
    *,
    look: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda _asked: {},
    say: Callable[[Mapping[str, Any]], list[str]] = lambda _asked: [],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a service the outermost transaction, and a kind of proposal.

    It takes keywords, of them `staff_id` and `second`, which nobody gives but a
    proposal that was agreed to. `look` finds anew, before that transaction, what can
    not be kept; `say` says of what was asked for more than its amounts.

    Raises:
        ApprovalRequired: a colleague has to agree; nothing was changed.
    """

    def decorate(body: Callable[P, R]) -> Callable[P, R]:
        part = transaction_required(body)
        part_of_agreeing: Callable[..., Any] = part

        @functools.wraps(body)
        def alone(*args: P.args, **asked: P.kwargs) -> R:
            try:
                return part(*args, **asked)
            except _TooMuch as error:
                raise ApprovalRequired(_propose(name, label, error, asked)) from None

        def execute(approval: Approval, approver_id: UUID, looked: Any) -> None:
            words = {**_read(body, approval.terms["asked"]), **looked}
            words["staff_id"] = approval.proposed_by_id
            words["second"] = Second(approver_id, approval.terms["refunds"])
            part_of_agreeing(**words)

        def describe(terms: Mapping[str, Any]) -> list[str]:
            return [*say(_read(body, terms["asked"])), *_describe(terms)]

        approvals.register(
            Kind(
                *(name, label, MAY_APPROVE, execute, describe),
                look=lambda terms: look(_read(body, terms["asked"])),
                typed=_typed(body),
            )
        )
        return retry_on_conflict(alone)

    return decorate


def _propose(
    name: str, label: str, error: _TooMuch, asked: Mapping[str, Any]
) -> Proposal:
    words = {
        key: str(value) if isinstance(value, UUID | datetime) else value
        for key, value in asked.items()
        if isinstance(value, FROZEN) and key != "staff_id"
    }
    subject_type, subject_id = error.about
    return Proposal(
        kind=name,
        title=f"{label}: {error.payable}"[:200],
        subject_type=subject_type,
        subject_id=str(subject_id),
        terms={"asked": words, "refunds": error.refunds},
        amount_minor=error.amount_minor,
        currency=error.currency,
        venue_id=error.payable.venue_id,
    )


def _read(body: Callable[..., Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, as the service takes it."""
    types = get_type_hints(body)
    return {
        key: READ[types[key]](value) if types[key] in READ else value
        for key, value in words.items()
    }


def _typed(body: Callable[..., Any]) -> frozenset[str]:
    """What of it staff write: texts that are no ids."""
    of_type = get_type_hints(body).items()
    return frozenset(
        name for name, type_ in of_type if type_ is str and not name.endswith("_id")
    )


def _describe(terms: Mapping[str, Any]) -> list[str]:
    return [
        f"{format_money(each['amount_minor'], each['currency'])} of {each['of']}"
        for each in terms["refunds"]
    ]
