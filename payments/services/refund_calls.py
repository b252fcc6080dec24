"""Sending refunds to Stripe, and recording what Stripe says of them.

An answer that did not come is UNKNOWN, never failed. The same key is sent again while
Stripe knows it and holds no error under it; otherwise Stripe's list is read, twice, and
only a refund that is surely not there is sent under a new key.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q

from payments.locks import lock_payable
from payments.models import CardPayment, Payable, Refund
from payments.services import troubles
from payments.services.installation import is_ours, mark
from payments.services.intents import STRIPE
from payments.services.lost import is_lost_refund, notice_refund, stop_for_refund
from payments.services.payables import recount
from payments.services.refunds import left_minor, record_move
from payments.states import (
    REFUND_MOVES,
    STUCK_REFUNDS,
    CardPaymentStatus,
    RefundReason,
    RefundStatus,
)
from recovery import audit, cases, outbox, rowqueue
from recovery.rowqueue import Failure
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.ids import uuid7
from slotbase.lib.states import require_move
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import RefundFact

SYSTEM = audit.Actor.system("refund")
NOT_MADE = (RefundStatus.REQUESTED, RefundStatus.SENDING, RefundStatus.UNKNOWN)
ON_THEIR_WAY = (RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION)
STATUS_OF = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.REQUIRES_ACTION,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELED,
}
# The other refusal: another release sent it under this key, with other words.
MAY_BE_THERE = {"charge_already_refunded", "idempotency_key_reused"}
KEY_LASTS = timedelta(hours=23)
ABSENT_AFTER = timedelta(minutes=5)
BETWEEN_READS = timedelta(seconds=60)
LOOK_AGAIN = timedelta(days=1)
SLOW_AFTER = timedelta(days=10)


def attempt_refunds(**only: Any) -> int:
    """Do what is due of refunds; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


# --- Call: outside of any transaction ------------------------------------------


def _call(refund: Refund) -> RefundFact | None:
    """Send the refund, or look for it; None if Stripe has no such refund."""
    if refund.provider_id is not None:
        return client.retrieve_refund(refund.provider_id)
    if not _may_send(refund):
        return look_for(refund)
    _note_sending(refund)
    try:
        return client.create_refund(
            payment_intent_id=_intent_of(refund),
            amount_minor=refund.amount_minor,
            currency=refund.currency,
            metadata=metadata_of(refund),
            idempotency_key=_key(refund),
        )
    except ProviderError as error:
        if error.code in MAY_BE_THERE and (found := look_for(refund)):
            return found
        raise


def _key(refund: Refund) -> str:
    return f"sb:{settings.SLOTBASE_ENV}:refund:{refund.pk}:{refund.epoch}"


def metadata_of(refund: Refund) -> dict[str, str]:
    """What tells whose a refund is, whatever becomes of the answer."""
    return {**mark(), "refund": str(refund.pk), "epoch": str(refund.epoch)}


def _intent_of(refund: Refund) -> str:
    assert refund.card_payment is not None, "a constraint"  # noqa: S101
    assert refund.card_payment.provider_id is not None, "a constraint"  # noqa: S101
    return refund.card_payment.provider_id


def _may_send(refund: Refund) -> bool:
    """Whether the key has no error under it and Stripe still knows it."""
    if refund.first_sent_at is None:
        return True
    age = read_clock() - refund.first_sent_at
    return not refund.is_key_spent and age < KEY_LASTS


def look_for(refund: Refund) -> RefundFact | None:
    """What Stripe has of this refund, if anything. Outside of any transaction."""
    for fact in client.list_refunds(_intent_of(refund)):
        if is_ours(fact.metadata) and fact.metadata.get("refund") == str(refund.pk):
            return fact
    return None


@retry_on_conflict
def _note_sending(refund: Refund) -> None:
    """From here on it may have happened. Only whoever has the lease may send."""
    ours = Refund.objects.filter(pk=refund.pk, lease_token=refund.lease_token)
    if not ours.filter(status__in=NOT_MADE).update(first_sent_at=_first(refund)):
        raise rowqueue.LateRecord
    if ours.filter(status=RefundStatus.REQUESTED).update(status=RefundStatus.SENDING):
        record_move(refund, RefundStatus.REQUESTED, RefundStatus.SENDING, SYSTEM)


def _first(refund: Refund) -> Any:
    return refund.first_sent_at or Now()


# --- Record: under the payable's lock ------------------------------------------


def _record(refund: Refund, fact: RefundFact | None) -> Mapping[str, Any]:
    payable = lock_payable(refund.payable_id)
    current = Refund.objects.get(pk=refund.pk)
    if fact is not None:
        apply_refund(payable, current, fact, actor=SYSTEM)
    elif current.status in NOT_MADE:
        _note_absence(current)
    return {"next_run_at": F("next_run_at"), "attempts": _attempts(refund, fact)}


def _attempts(refund: Refund, fact: RefundFact | None) -> int:
    """Looking does not use up attempts to send."""
    return refund.attempts if fact else max(refund.attempts - 1, 0)


@transaction_required
def _note_absence(refund: Refund) -> None:
    """Seen twice and long enough after it was sent: it is not there. Send it anew."""
    now, since = read_clock(), refund.absent_since
    is_sure = (
        since is not None
        and now - since >= BETWEEN_READS
        and refund.first_sent_at is not None
        and now - refund.first_sent_at >= ABSENT_AFTER
    )
    if is_sure:
        renew_key(refund, SYSTEM, reason="Stripe does not have it.")
        return
    Refund.objects.filter(pk=refund.pk).update(
        absent_since=since or now,
        absent_reads=F("absent_reads") + 1,
        next_run_at=Now() + BETWEEN_READS + timedelta(seconds=5),
    )


@transaction_required
def renew_key(refund: Refund, actor: audit.Actor, *, reason: str) -> None:
    """Let a refund that did not happen be sent under a new key."""
    move_refund(
        refund,
        RefundStatus.REQUESTED,
        actor=actor,
        reason=reason,
        epoch=refund.epoch + 1,
        is_key_spent=False,
        first_sent_at=None,
        absent_reads=0,
        absent_since=None,
        next_run_at=Now(),
        attempts=0,
        deaths=0,
    )


@transaction_required
def apply_refund(
    payable: Payable, refund: Refund, fact: RefundFact, *, actor: audit.Actor
) -> None:
    """Move a refund of a locked payable to where Stripe says it is, if it may go there.

    What is final stays, but for a success that a bank takes back days later.
    """
    before, to = refund.status, STATUS_OF.get(fact.status, RefundStatus.PENDING)
    is_over = to not in {RefundStatus.PENDING, RefundStatus.REQUIRES_ACTION}
    if to not in REFUND_MOVES[before] and (to != before or is_over):
        return
    move_refund(
        refund,
        to,
        actor=actor,
        provider_id=fact.id,
        failure_reason=fact.failure_reason[:64],
        pending_reason=fact.pending_reason[:64],
        next_run_at=None if is_over else Now() + LOOK_AGAIN,
        settled_at=Now() if to == RefundStatus.SUCCEEDED else None,
    )
    recount(payable)
    if to != before:
        _tell(payable, refund)
    elif not is_over:
        _tell_if_slow(payable, refund)


@transaction_required
def _tell_if_slow(payable: Payable, refund: Refund) -> None:
    """A bank takes days, not weeks; told once, since the same is so tomorrow."""
    is_slow = read_clock() - refund.created_at >= SLOW_AFTER
    if is_slow and not cases.was_told(troubles.refund_failure_of(refund)):
        cause = "It has been on its way for ten days, and Stripe does not say why."
        troubles.open_refund_failure(
            payable, refund, cause=troubles.say_why_slow(refund) or cause
        )


@transaction_required
def move_refund(
    refund: Refund, to: str, *, actor: audit.Actor, reason: str = "", **values: Any
) -> None:
    """Write a refund of a locked payable, and its history if its state changes."""
    if to != refund.status:
        require_move(REFUND_MOVES, refund.status, to)
        record_move(refund, refund.status, to, actor, reason)
        values["version"] = F("version") + 1
    Refund.objects.filter(pk=refund.pk).update(status=to, **values)
    refund.refresh_from_db()


@transaction_required
def _tell(payable: Payable, refund: Refund) -> None:
    """Cases follow the refund; others may want to know as well."""
    if refund.status == RefundStatus.SUCCEEDED:
        troubles.refund_arrived(payable, refund)
        publish_refund("payments.refund_settled", payable, refund)
    elif refund.status in STUCK_REFUNDS:
        unexplained = f"Stripe says that it is {refund.status.lower()}, and not why."
        cause = troubles.say_why(refund) or unexplained
        troubles.open_refund_failure(payable, refund, cause=cause)
        publish_refund("payments.refund_failed", payable, refund)


@transaction_required
def publish_refund(event: str, payable: Payable, refund: Refund) -> None:
    """Tell what became of a refund; whoever sold the thing tells the customer."""
    facts = {
        "payable": str(payable.pk),
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
    }
    outbox.publish(event, subject="refund", facts={refund.pk: facts})


def _fail(
    refund: Refund,
    failure: Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    payable = lock_payable(refund.payable_id)
    current = Refund.objects.get(pk=refund.pk)
    if current.status in ON_THEIR_WAY:
        return {"next_run_at": Now() + LOOK_AGAIN} if is_over else {}
    if current.status not in NOT_MADE:
        return {"next_run_at": None}
    if is_over:
        is_in_doubt = not (_never_in_doubt(refund) and _was_refused(failure))
        _hand_to_staff(payable, current, failure, is_in_doubt=is_in_doubt)
    elif failure.outcome in {Outcome.UNKNOWN, None}:
        if current.status == RefundStatus.SENDING:
            move_refund(current, RefundStatus.UNKNOWN, actor=SYSTEM)
    elif current.status == RefundStatus.SENDING and _never_in_doubt(refund):
        move_refund(
            current,
            RefundStatus.REQUESTED,
            actor=SYSTEM,
            first_sent_at=refund.first_sent_at,
        )
    return {"is_key_spent": current.is_key_spent or failure.is_stored}


@transaction_required
def _hand_to_staff(
    payable: Payable, refund: Refund, failure: Failure, *, is_in_doubt: bool
) -> None:
    """Refused, or out of attempts.

    Only where the very first call was refused it is sure that nothing was sent. A
    refusal after an answer that did not come says nothing of the call before: before
    it is ever sent again, Stripe's list is read.
    """
    values: dict[str, Any] = {"first_sent_at": None}
    if is_in_doubt:
        is_spent = refund.is_key_spent or _was_refused(failure)
        values = {"is_key_spent": is_spent}
    move_refund(
        refund, RefundStatus.NEEDS_STAFF, actor=SYSTEM, next_run_at=None, **values
    )
    assert refund.card_payment is not None, "a constraint"  # noqa: S101
    withdrawn = _withdraw_after_others(payable, refund.card_payment, SYSTEM)
    if refund not in withdrawn:
        troubles.open_refund_failure(payable, refund, cause=failure.error)
        publish_refund("payments.refund_failed", payable, refund)


def _was_refused(failure: Failure) -> bool:
    return failure.outcome == Outcome.REFUSED


def _never_in_doubt(refund: Refund) -> bool:
    """Whether no earlier attempt may have succeeded: it was fresh when claimed."""
    return refund.status == RefundStatus.REQUESTED and refund.first_sent_at is None


def _waits(_: Refund) -> list[int]:
    """The waits between attempts, whose moments count from the first one."""
    moments = settings.REFUND_RETRY_SECONDS
    return [later - earlier for earlier, later in pairwise(moments)]


QUEUE = rowqueue.RowQueue(
    name="refund",
    model=Refund,
    call=_call,
    record=_record,
    fail=_fail,
    retry_seconds=_waits,
    provider="stripe",
    sends=True,
    lease_seconds=60,
)


# --- What Stripe tells by itself -----------------------------------------------


@transaction_required
def record_refund(fact: RefundFact, *, actor: audit.Actor = STRIPE) -> Payable | None:
    """Record what Stripe says of a refund; None if its payment is not ours.

    One that a person made at Stripe becomes a refund here: a fact is always recorded.
    """
    payment = CardPayment.objects.filter(
        provider_id=fact.payment_intent_id, status=CardPaymentStatus.SUCCEEDED
    ).first()
    if payment is None:
        notice_refund(fact)
        return None
    payable = lock_payable(payment.payable_id)
    due_before, was_lost = payable.due_minor, is_lost_refund(fact)
    found = find_refund(fact)
    refund = found or _take_over(payable, payment, fact, actor)
    apply_refund(payable, refund, fact, actor=actor)
    Refund.objects.filter(pk=refund.pk, next_run_at=None).update(
        lease_token=None, lease_until=None
    )
    _withdraw_after_others(payable, payment, actor, was_ours=was_lost)
    if was_lost:
        stop_for_refund(fact)
    if left_minor(payment) < 0:
        troubles.open_mismatch(
            payable,
            cause="More went back than came in: by Stripe, and in another way.",
            amount_minor=-left_minor(payment),
            currency=fact.currency,
        )
    elif found is None and payable.due_minor > due_before:
        _tell_of_what_is_due_again(payable)
    return payable


@transaction_required
def _tell_of_what_is_due_again(payable: Payable) -> None:
    """What was sold stands, and is not paid for any more."""
    troubles.open_mismatch(
        payable,
        cause="Somebody gave money back at Stripe: it is due again.",
        amount_minor=payable.due_minor,
        currency=payable.currency,
    )


def find_refund(fact: RefundFact) -> Refund | None:
    """Whose this refund is: by its id, else by what it says of itself."""
    is_meant = Q(provider_id=fact.id)
    if is_ours(fact.metadata):
        with suppress(ValueError):
            is_meant |= Q(pk=UUID(fact.metadata.get("refund", "")), provider_id=None)
    found = Refund.objects.filter(is_meant).exclude(
        status=RefundStatus.RESOLVED_OUT_OF_BAND, provider_id=None
    )
    return found.first()


@transaction_required
def _take_over(
    payable: Payable, payment: CardPayment, fact: RefundFact, actor: audit.Actor
) -> Refund:
    """A refund that we did not ask for; `apply_refund` says how far it is."""
    id_ = uuid7()
    refund = Refund.objects.create(
        id=id_,
        payable=payable,
        card_payment=payment,
        provider_id=fact.id,
        amount_minor=fact.amount_minor,
        currency=fact.currency,
        reason=RefundReason.OUTSIDE,
        origin=id_,
        next_run_at=Now(),
    )
    record_move(refund, "", RefundStatus.REQUESTED, actor)
    return refund


@transaction_required
def withdraw_what_is_too_much(
    payable: Payable,
    payment: CardPayment,
    *,
    why: str,
    actor: audit.Actor,
    keeps_owed: bool = False,
) -> list[Refund]:
    """More promised than there is: take back promises that surely were not sent.

    `keeps_owed`: also those that would give back what is owed.
    """
    promised = payment.refunds.filter(
        status__in=[RefundStatus.REQUESTED, RefundStatus.NEEDS_STAFF],
        first_sent_at=None,
        provider_id=None,
    )
    withdrawn = []
    for refund in promised.order_by("-id"):
        if left_minor(payment) >= 0 and not (keeps_owed and payable.due_minor):
            break
        _withdraw(refund, why, actor)
        recount(payable)
        withdrawn.append(refund)
    return withdrawn


@transaction_required
def _withdraw(refund: Refund, why: str, actor: audit.Actor) -> None:
    values: dict[str, Any] = {"next_run_at": None}
    if refund.status == RefundStatus.REQUESTED:
        # Whoever is about to send it has come too late.
        values |= {"lease_token": None, "lease_until": None}
    move_refund(refund, RefundStatus.CANCELED, actor=actor, reason=why, **values)
    troubles.refund_withdrawn(refund)


@transaction_required
def _withdraw_after_others(
    payable: Payable,
    payment: CardPayment,
    actor: audit.Actor,
    *,
    was_ours: bool = False,
) -> list[Refund]:
    """Somebody gave the money back elsewhere: staff look at whether that is right.

    `was_ours`: we did, and forgot it. What was promised since is the same promise.
    """
    why = "The money went back in another way."
    withdrawn = withdraw_what_is_too_much(
        payable, payment, why=why, actor=actor, keeps_owed=was_ours
    )
    for refund in withdrawn:
        troubles.open_mismatch(
            payable,
            cause=f"A refund was withdrawn: {why}",
            amount_minor=refund.amount_minor,
            currency=refund.currency,
        )
    return withdrawn
