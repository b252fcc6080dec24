"""What payments do with Stripe's webhooks: fetch the object as it is, record that."""

from contextlib import AbstractContextManager
from typing import Any

from django.db.models import Model

from payments.models import Payable
from payments.services import troubles
from payments.services.disputes import record_dispute
from payments.services.intents import find_card_payment, record_intent
from payments.services.refund_calls import find_refund, record_refund
from recovery import audit, inbox
from recovery.inbox import Handler, Ignored, NotPlaced
from recovery.models import InboxEvent
from slotbase.lib import request_id
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import DisputeFact, Intent, RefundFact


def _object(event: InboxEvent) -> Any:
    assert event.payload is not None, "it is emptied once it is processed"  # noqa: S101
    return event.payload["data"]["object"]


def _fetch_intent(event: InboxEvent) -> Intent:
    return client.retrieve_intent(str(_object(event)["id"]))


def _for_who_asked(subject: str, row: Model | None) -> AbstractContextManager[None]:
    """What a webhook tells belongs to the request by which somebody asked for it."""
    asked = audit.request_of(subject, row.pk) if row else ""
    return request_id.resumed(asked, instead=True)


def _record_intent(_: InboxEvent, intent: Intent) -> None:
    with _for_who_asked("cardpayment", find_card_payment(intent)):
        if record_intent(intent) is not None:
            return
    if intent.status != "succeeded":
        raise Ignored("a payment that is not ours, and that nobody made")
    raise NotPlaced


def _open_unmatched(_: InboxEvent, intent: Intent) -> None:
    troubles.open_unmatched(intent)


def _fetch_refund(event: InboxEvent) -> list[RefundFact]:
    return [client.retrieve_refund(str(_object(event)["id"]))]


def _fetch_refunds_of_charge(event: InboxEvent) -> list[RefundFact]:
    charge = client.retrieve_charge(str(_object(event)["id"]))
    return client.list_refunds(charge.payment_intent_id)


def _record_refunds(_: InboxEvent, facts: list[RefundFact]) -> None:
    # Each of them, before one that is not ours ends it.
    placed = [_record_refund(fact) for fact in facts]
    if not all(placed):
        raise NotPlaced


def _record_refund(fact: RefundFact) -> Payable | None:
    with _for_who_asked("refund", find_refund(fact)):
        return record_refund(fact)


def _fetch_dispute(event: InboxEvent) -> DisputeFact:
    return client.retrieve_dispute(str(_object(event)["id"]))


def _record_dispute(_: InboxEvent, fact: DisputeFact) -> None:
    if record_dispute(fact) is None:
        raise NotPlaced


HANDLERS = (
    Handler(
        "stripe",
        frozenset(
            f"payment_intent.{each}"
            for each in (
                *("succeeded", "payment_failed", "processing", "requires_action"),
                *("canceled", "amount_capturable_updated"),
            )
        ),
        apply=_record_intent,
        fetch=_fetch_intent,
        is_critical=True,
        give_up=_open_unmatched,
    ),
    Handler(
        "stripe",
        frozenset(
            {
                "refund.created",
                "refund.updated",
                "refund.failed",
                "charge.refund.updated",
            }
        ),
        apply=_record_refunds,
        fetch=_fetch_refund,
        is_critical=True,
    ),
    Handler(
        "stripe",
        frozenset({"charge.refunded"}),
        apply=_record_refunds,
        fetch=_fetch_refunds_of_charge,
        is_critical=True,
    ),
    Handler(
        "stripe",
        frozenset(
            f"charge.dispute.{each}"
            for each in (
                *("created", "updated", "closed"),
                *("funds_withdrawn", "funds_reinstated"),
            )
        ),
        apply=_record_dispute,
        fetch=_fetch_dispute,
        is_critical=True,
    ),
)
inbox.register(*HANDLERS)
