"""Money that staff take in by hand: recorded once, with a receipt, never changed.

No Redis is needed for it. The key comes with the form that staff were shown, so a
second click, a reload or a second tab finds what the first one did.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings

from payments.errors import (
    Overpayment,
    PayableNotFound,
    PossibleDuplicate,
    TooMuchForTheDesk,
)
from payments.locks import lock_payable, next_receipt_number
from payments.models import OfflinePayment, Payable
from payments.services.payables import (
    call_off_card_payments,
    publish_settled,
    recount,
)
from payments.services.voiding import MAY_VOID_ALL
from payments.states import OfflineMethod
from recovery import audit
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.ids import uuid7
from slotbase.lib.money import exponent, format_money, tax_within

SUSPICIOUS = timedelta(minutes=5)
MOST_MINOR = 10**12  # more was never handed over a counter


@dataclass(frozen=True)
class Received:
    """What staff say that they were given; the key is of the form they filled in."""

    payable_id: UUID
    amount_minor: int
    method: OfflineMethod
    staff_id: UUID
    key: UUID
    note: str = ""
    is_second: bool = False  # the same amount once more, and staff said so
    may_exceed: bool = False  # more than is due, and staff said so


@retry_on_conflict
def record_payment(received: Received) -> tuple[OfflinePayment, bool]:
    """Record money and number its receipt; says whether this is new.

    Raises:
        ValidationFailed: the amount is not positive or too large, or OTHER has no note.
        Overpayment: it is more than is due.
        PossibleDuplicate: the same amount was recorded a moment ago.
        TooMuchForTheDesk: a manager takes in so much at once.
        PayableNotFound: there is nothing to pay.
    """
    _check(received)
    payable = lock_payable(received.payable_id)
    earlier = OfflinePayment.objects.filter(idempotency_key=received.key).first()
    if earlier is not None:
        if earlier.payable_id != payable.pk:
            raise InvalidState("This form was used for another payment.")
        return earlier, False
    if received.amount_minor > payable.due_minor and not received.may_exceed:
        raise Overpayment(payable.due_minor)
    # After the question whether a digit is wrong.
    _require_limit(received, payable.currency)
    if not received.is_second:
        _refuse_twin(payable, received)
    payment = _insert(payable, received)
    Payable.objects.filter(pk=payable.pk).update(paid_at=Now())
    recount(payable)
    # What the customer has open is for more than is due now.
    call_off_card_payments(payable)
    publish_settled(payable)
    return payment, True


def _check(received: Received) -> None:
    if received.amount_minor <= 0:
        raise ValidationFailed(amount="Must be more than zero.")
    if received.amount_minor > MOST_MINOR:
        raise ValidationFailed(amount="Is too large.")
    if received.method == OfflineMethod.OTHER and not received.note.strip():
        raise ValidationFailed(note="Say how it was paid.")


def _require_limit(received: Received, currency: str) -> None:
    most = settings.OFFLINE_PAYMENT_MAX_MAJOR * 10 ** exponent(currency)
    if received.amount_minor <= most:
        return
    if not User.objects.get(pk=received.staff_id).has_perm(MAY_VOID_ALL):
        raise TooMuchForTheDesk(format_money(most, currency))


@transaction_required
def _refuse_twin(payable: Payable, received: Received) -> None:
    twin = (
        payable.offline_payments.filter(
            amount_minor=received.amount_minor,
            reversed_by=None,
            recorded_at__gt=Now() - SUSPICIOUS,
        )
        .select_related("recorded_by")
        .last()
    )
    if twin is not None:
        raise PossibleDuplicate(
            f"The same amount was recorded by {twin.recorded_by} at"
            f" {twin.recorded_at:%H:%M}Z, receipt {twin.receipt_number}."
            " If this is a second payment, say so.",
            payment_id=twin.pk,
        )


@transaction_required
def _insert(payable: Payable, received: Received) -> OfflinePayment:
    if payable.venue_id is None:
        raise PayableNotFound
    payment = OfflinePayment.objects.create(
        id=uuid7(),
        payable=payable,
        amount_minor=received.amount_minor,
        currency=payable.currency,
        method=received.method,
        note=received.note[:200],
        recorded_by_id=received.staff_id,
        venue_id=payable.venue_id,
        receipt_number=next_receipt_number(payable.venue_id),
        tax_rate=payable.tax_rate,
        tax_minor=tax_within(received.amount_minor, payable.tax_rate),
        idempotency_key=received.key,
    )
    audit.record(
        actor=audit.Actor.staff(received.staff_id),
        action="payment.recorded",
        subject="offlinepayment",
        ids=[payment.pk],
    )
    return payment
