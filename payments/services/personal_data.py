"""What payments keeps of a person: their money, which stays, and words about it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q

from payments.locks import lock_payables
from payments.models import CardPayment, Dispute, OfflinePayment, Payable, Refund
from payments.states import (
    DONE_REFUNDS,
    RESERVED_REFUNDS,
    UNDECIDED_PAYMENTS,
    DisputeStatus,
)
from recovery import cases
from recovery.models import Case
from recovery.personal import Traces
from slotbase.accounts.services.personal_data import Part, Sections, register
from slotbase.lib.clock import Now
from slotbase.lib.db import transaction_required

_MONEY = ("id", "amount_minor", "currency", "status")


def _export(traces: Traces) -> Sections:
    user_id = traces.user_id
    payables = Payable.objects.filter(customer=user_id).order_by("pk")
    counters = ("owed_minor", "paid_minor", "refunded_minor", "disputed_minor")
    return {
        "payables": payables.values(
            *("id", "reference", "title", "currency", *counters, "created_at")
        ),
        "card_payments": _of(CardPayment, user_id).values(
            *(*_MONEY, "provider_id", "decline_code", "created_at", "succeeded_at")
        ),
        "offline_payments": _of(OfflinePayment, user_id).values(
            *("id", "amount_minor", "currency", "method", "note"),
            *("recorded_at", "receipt_number", "tax_rate", "tax_minor"),
        ),
        "refunds": _of(Refund, user_id).values(
            *(*_MONEY, "reason", "evidence", "provider_id", "created_at"),
            "settled_at",
        ),
        "disputes": _disputes(user_id).values(
            *(*_MONEY, "reason", "provider_id", "opened_at", "closed_at")
        ),
    }


def _of(model: Any, user_id: UUID) -> Any:
    return model.objects.filter(payable__customer=user_id).order_by("pk")


def _disputes(user_id: UUID) -> Any:
    theirs = Dispute.objects.filter(card_payment__payable__customer=user_id)
    return theirs.order_by("pk")


@transaction_required
def _erase(traces: Traces) -> None:
    """Words alone: amounts, receipts and stamps stay as they are."""
    _of(OfflinePayment, traces.user_id).exclude(note="").update(note="")
    _of(Refund, traces.user_id).exclude(evidence="").update(evidence="")


def _lock(user_id: UUID) -> None:
    ids = Payable.objects.filter(customer=user_id).values_list("pk", flat=True)
    lock_payables(ids)


def _open_business(user_id: UUID) -> Iterator[str]:
    if _of(CardPayment, user_id).filter(status__in=UNDECIDED_PAYMENTS).exists():
        yield "A card payment is not decided yet."
    gone = F("refunded_minor") + F("refund_reserved_minor") + F("disputed_minor")
    kept = Payable.objects.filter(
        customer=user_id, paid_minor__gt=F("owed_minor") + gone
    )
    if kept.exists():
        yield "Money is to be given back."
    if _of(Refund, user_id).filter(status__in=RESERVED_REFUNDS).exists():
        yield "A refund has not arrived yet."
    if _of(Refund, user_id).filter(_may_come_back()).exists():
        days = settings.ERASE_AFTER_REFUND_DAYS
        yield f"A refund is younger than {days} days: a bank may still send it back."
    if _disputes(user_id).filter(status=DisputeStatus.OPEN).exists():
        yield "A payment is disputed at a bank."
    if _cases_about_money(user_id).exists():
        yield "Staff have not finished with a case about money."


def _may_come_back() -> Q:
    since = Now() - timedelta(days=settings.ERASE_AFTER_REFUND_DAYS)
    settled = Q(settled_at__gt=since) | Q(settled_at=None, created_at__gt=since)
    return Q(status__in=DONE_REFUNDS) & settled


def _cases_about_money(user_id: UUID) -> Any:
    is_open = Case.objects.filter(status__in=cases.IS_OPEN)
    theirs = Q(customer=user_id) | Q(subject_id__in=[*_ids(user_id)])
    return is_open.filter(theirs, amount_minor__isnull=False)


def _ids(user_id: UUID) -> Iterator[str]:
    """Of all of their money, here and at Stripe."""
    for model in (CardPayment, Refund):
        for ours, stripes in _of(model, user_id).values_list("pk", "provider_id"):
            yield from filter(None, (str(ours), stripes))
    for ours in _of(OfflinePayment, user_id).values_list("pk", flat=True):
        yield str(ours)
    for ours, stripes in _disputes(user_id).values_list("pk", "provider_id"):
        yield from (str(ours), stripes)
    payables = Payable.objects.filter(customer=user_id)
    yield from map(str, payables.values_list("pk", flat=True))


register(
    Part(
        name="payments",
        holds={
            "payments.OfflinePayment": frozenset({"note"}),
            "payments.Refund": frozenset({"evidence"}),
        },
        export=_export,
        erase=_erase,
        open_business=_open_business,
        lock=_lock,
        ids=_ids,
    )
)
