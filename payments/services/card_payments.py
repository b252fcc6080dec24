"""Card payments: an intent is made at Stripe, looked at, and called off there.

Claim, call, record: a request and a worker do the same with the same row, so whoever
dies in between is taken over by the other.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models import F

from payments.locks import lock_payable
from payments.models import CardPayment, Payable
from payments.services.intents import (
    apply_intent,
    found_by,
    metadata_of,
    move_card_payment,
)
from payments.services.stamps import as_stamp_of_stripe
from payments.states import (
    UNDECIDED_PAYMENTS,
    CardPaymentStatus,
)
from recovery import audit, retries, rowqueue
from recovery.rowqueue import Failure
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.enqueue import after_commit
from slotbase.lib.ids import uuid7
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import Intent, Patience

SYSTEM = audit.Actor.system("card_payment")
NOT_MADE = (CardPaymentStatus.CREATING, CardPaymentStatus.UNKNOWN)
# Stripe forgets a key after a day, and would then do the same thing again.
KEY_LASTS = timedelta(hours=23)
LEASE_SECONDS = 60  # a customer waits
KEY_REUSED = "idempotency_key_reused"


@transaction_required
def begin_card_payment(
    payable: Payable, *, actor: audit.Actor
) -> tuple[CardPayment, bool]:
    """The undecided card payment of a locked payable, or a new one of what is due.

    Says whether it is new: then the caller has its lease, and makes it.
    """
    undecided = CardPayment.objects.filter(
        payable=payable, status__in=UNDECIDED_PAYMENTS
    )
    if (payment := undecided.first()) is not None:
        return payment, False
    payment = CardPayment.objects.create(
        id=uuid7(),
        payable=payable,
        amount_minor=payable.due_minor,
        currency=payable.currency,
        # Made by whoever begins it, who has it leased from the start.
        next_run_at=Now(),
        attempts=1,
        lease_token=uuid4(),
        lease_until=Now() + timedelta(seconds=LEASE_SECONDS),
    )
    audit.record(
        actor=actor,
        action="card_payment.begun",
        subject="cardpayment",
        ids=[payment.pk],
        move=("", CardPaymentStatus.CREATING),
    )
    return payment, True


def attempt_card_payments(**only: Any) -> int:
    """Do what is due of card payments; returns how many were tried."""
    return rowqueue.run_due(QUEUE, **only)


def attempt_now(payment: CardPayment, *, is_ours: bool) -> CardPayment:
    """Within a request: make the intent, unless somebody else is at it; it then.

    `is_ours`: the payment was begun by this request, which has its lease.
    """
    if is_ours:
        rowqueue.run_claimed(IN_REQUEST, payment)
    else:
        rowqueue.run_due(IN_REQUEST, id=payment.pk)
    return CardPayment.objects.get(pk=payment.pk)


# --- Call: outside of any transaction ------------------------------------------


def _call(payment: CardPayment, *, patience: Patience) -> Intent | None:
    """Make, call off or look at the intent; None if there is surely none."""
    if payment.status in NOT_MADE:
        return _make(payment, patience)
    assert payment.provider_id is not None, "a constraint"  # noqa: S101
    if payment.cancel_requested_at is None:
        return client.retrieve_intent(payment.provider_id, patience=patience)
    # Twice is as good as once, and a key may hold an error: each attempt has its own.
    return _call_off(
        payment.provider_id, f"{_key(payment)}:cancel:{payment.lease_token}"
    )


def _call_off(intent_id: str, key: str) -> Intent:
    """Cancel it at Stripe, or see why it cannot be: perhaps it was paid meanwhile."""
    try:
        return client.cancel_intent(intent_id, idempotency_key=key)
    except ProviderError as error:
        if error.code != "payment_intent_unexpected_state":
            raise
    return client.retrieve_intent(intent_id)


def _make(payment: CardPayment, patience: Patience) -> Intent | None:
    """Under the same key again as long as Stripe knows it; else look before."""
    sent_at = payment.first_sent_at
    if sent_at is None and payment.cancel_requested_at:
        return None
    is_new_to_stripe = sent_at is None or read_clock() - sent_at < KEY_LASTS
    if payment.is_key_spent or payment.cancel_requested_at or not is_new_to_stripe:
        assert sent_at is not None, "it was sent"  # noqa: S101
        return _look_for(payment, sent_at)
    _note_sending(payment)
    try:
        return _create(payment, patience)
    except ProviderError as error:
        # Another release sent it under this key, with other words.
        if error.code != KEY_REUSED or sent_at is None:
            raise
    return _look_for(payment, sent_at)


def _look_for(payment: CardPayment, sent_at: datetime) -> Intent | None:
    return client.find_intent(
        metadata=found_by(payment), created_from=as_stamp_of_stripe(sent_at)
    )


def _create(payment: CardPayment, patience: Patience) -> Intent:
    return client.create_intent(
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        metadata=metadata_of(payment),
        description=str(payment.payable),
        idempotency_key=_key(payment),
        patience=patience,
    )


def _key(payment: CardPayment) -> str:
    return f"sb:{settings.SLOTBASE_ENV}:pi:{payment.pk}:{payment.epoch}"


@retry_on_conflict
def _note_sending(payment: CardPayment) -> None:
    """From here on there may be an intent."""
    CardPayment.objects.filter(pk=payment.pk, first_sent_at=None).update(
        first_sent_at=Now()
    )


# --- Record: under the payable's lock ------------------------------------------


def _record(payment: CardPayment, intent: Intent | None) -> Mapping[str, Any]:
    payable = lock_payable(payment.payable_id)
    current = CardPayment.objects.get(pk=payment.pk)
    if intent is not None:
        apply_intent(payable, current, intent, actor=SYSTEM)
    elif current.cancel_requested_at and current.status in NOT_MADE:
        move_card_payment(
            current, CardPaymentStatus.CANCELED, actor=SYSTEM, next_run_at=None
        )
    elif current.status in NOT_MADE:
        # Of an intent that shows up later nobody has the secret: it cannot be paid.
        _renew_key(current)
    return {"next_run_at": F("next_run_at"), "attempts": 0, "deaths": 0}


@transaction_required
def _renew_key(payment: CardPayment) -> None:
    CardPayment.objects.filter(pk=payment.pk).update(
        epoch=F("epoch") + 1,
        is_key_spent=False,
        first_sent_at=None,
        next_run_at=Now(),
    )


def _fail(
    payment: CardPayment,
    failure: Failure,
    is_over: bool,  # noqa: FBT001 - the queue's
) -> Mapping[str, Any]:
    lock_payable(payment.payable_id)
    current = CardPayment.objects.get(pk=payment.pk)
    if current.status not in UNDECIDED_PAYMENTS:
        return {"next_run_at": None}
    if is_over:
        title = f"Stripe did not take {payment.payable}"
        rowqueue.open_dead_letter(QUEUE, payment, failure, title=title)
    if current.status not in NOT_MADE:
        return {}
    if is_over:
        # Nobody has the secret of an intent that may be there: it cannot be paid.
        move_card_payment(
            current, CardPaymentStatus.CANCELED, actor=SYSTEM, next_run_at=None
        )
    elif failure.outcome in {Outcome.UNKNOWN, None}:
        move_card_payment(current, CardPaymentStatus.UNKNOWN, actor=SYSTEM)
    return {"is_key_spent": current.is_key_spent or failure.is_stored}


QUEUE = rowqueue.RowQueue(
    name="card_payment",
    model=CardPayment,
    call=partial(_call, patience=Patience.WORKER),
    record=_record,
    fail=_fail,
    retry_seconds=lambda _: settings.CARD_PAYMENT_RETRY_SECONDS,
    provider="stripe",
    sends=True,
    lease_seconds=LEASE_SECONDS,
)
retries.register(
    CardPayment.subject(),
    retries.of_rows(CardPayment, status__in=UNDECIDED_PAYMENTS),
)
IN_REQUEST = replace(QUEUE, call=partial(_call, patience=Patience.REQUEST))


@retry_on_conflict
def look_soon(payment_id: UUID) -> None:
    """Let a worker ask Stripe about a payment within seconds."""
    CardPayment.objects.filter(
        pk=payment_id, status__in=UNDECIDED_PAYMENTS, lease_token=None
    ).update(next_run_at=Now())
    after_commit("payments.attempt_card_payment", id=payment_id)
