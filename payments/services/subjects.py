"""What is compared with Stripe, object by object: card payments and refunds.

Each knows how its objects are listed and fetched, what is recorded of them, and when
what we have is what Stripe has.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from payments.models import CardPayment, Refund
from payments.services import intents, refund_calls, troubles
from payments.services.installation import bears_our_mark, is_of_others, is_ours
from payments.services.intents import record_intent
from payments.services.lost import is_lost_intent
from payments.services.refund_calls import record_refund
from payments.states import CardPaymentStatus, RefundStatus
from recovery import audit, cases
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.money import format_money
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import Intent, RefundFact

RECONCILE = audit.Actor.system("reconcile")
#: Nothing more will come of them, whatever became of the object.
SETTLED_BY_HAND = (RefundStatus.NEEDS_STAFF, RefundStatus.RESOLVED_OUT_OF_BAND)


@dataclass(frozen=True)
class Subject:
    """A kind of object, and what it is called in the metadata of Stripe."""

    name: str
    named_by: str
    model: Any
    fetch: Callable[[str], Any]
    read_page: Callable[..., tuple[list[Any], str]]
    record: Callable[[Any], None]
    see_to_unknown: Callable[[Any, bool], Any]
    is_same: Callable[[Any, Any], bool]
    ours_minor: Callable[[Any], int]
    stripe_minor: Callable[[Any], int]
    say: Callable[[Any], str]

    def find_rows(self, facts: Sequence[Any]) -> dict[str, Any]:
        """The rows to which these objects belong, by the ids of the objects."""
        named = {
            fact.id: UUID(fact.metadata[self.named_by])
            for fact in facts
            if is_ours(fact.metadata) and _is_uuid(fact.metadata.get(self.named_by, ""))
        }
        ids = [fact.id for fact in facts]
        found = self.model.objects.filter(
            Q(provider_id__in=ids) | Q(pk__in=named.values(), provider_id=None)
        )
        by_id = {row.provider_id: row for row in found if row.provider_id}
        by_pk = {row.pk: row for row in found if not row.provider_id}
        told = {id_: by_pk[pk] for id_, pk in named.items() if pk in by_pk}
        return {**told, **by_id}


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# --- Card payments -------------------------------------------------------------


@retry_on_conflict
def _record_intent(intent: Intent) -> None:
    record_intent(intent, actor=RECONCILE)


def _see_to_unknown_intent(intent: Intent, is_asked: bool) -> Any:  # noqa: FBT001
    """Money that belongs to nobody stands in a case; what can be paid is called off.

    The latter only where a person asked for it: a copy of our database that somebody
    plays with would otherwise call off what belongs to us.
    """
    if is_asked and is_lost_intent(intent) and intent.status not in _TOO_LATE:
        intent = _call_off(intent)
    _note_unknown(intent)
    return intent


_TOO_LATE = {"succeeded", "processing", "canceled"}


def _call_off(intent: Intent) -> Intent:
    try:
        return client.cancel_intent(intent.id, idempotency_key=f"sb:lost:{intent.id}")
    except ProviderError as error:
        if error.code != "payment_intent_unexpected_state":
            raise
    return client.retrieve_intent(intent.id)  # it was paid meanwhile, say


@retry_on_conflict
def _note_unknown(intent: Intent) -> None:
    record_intent(intent, actor=RECONCILE)  # it may be known by now; else senders stop
    if intents.find_card_payment(intent) or intent.status not in _MONEY:
        return
    fingerprint = troubles.unmatched_of(intent.id)
    if not is_of_others(intent.metadata) and not cases.was_told(fingerprint):
        troubles.open_unmatched(intent)


_MONEY = {"succeeded", "processing"}


def _is_same_payment(payment: CardPayment, intent: Intent) -> bool:
    to = intents.STATUS_OF.get(intent.status, CardPaymentStatus.OPEN)
    if CardPaymentStatus.SUCCEEDED not in {payment.status, to}:
        # One that we gave up can be paid by nobody, whatever it is called there.
        return payment.status in {to, CardPaymentStatus.CANCELED}
    received = (payment.received_minor, payment.received_currency)
    return payment.status == to and received == (intent.received_minor, intent.currency)


def _received(payment: CardPayment) -> int:
    is_here = payment.status == CardPaymentStatus.SUCCEEDED
    return payment.received_minor if is_here else 0


def _say_intent(intent: Intent) -> str:
    paid = format_money(intent.received_minor, intent.currency)
    return f"{intent.id} is {intent.status.replace('_', ' ')}, {paid} received"


PAYMENTS = Subject(
    name="payments",
    named_by="card_payment",
    model=CardPayment,
    fetch=client.retrieve_intent,
    read_page=client.page_of_intents,
    record=_record_intent,
    see_to_unknown=_see_to_unknown_intent,
    is_same=_is_same_payment,
    ours_minor=_received,
    stripe_minor=lambda intent: intent.received_minor,
    say=_say_intent,
)


# --- Refunds -------------------------------------------------------------------


@retry_on_conflict
def _record_refund(fact: RefundFact) -> None:
    record_refund(fact, actor=RECONCILE)


def _see_to_unknown_refund(fact: RefundFact, _: bool) -> Any:  # noqa: FBT001
    """It becomes a row of its payment, if that is ours; so it cannot happen twice."""
    _record_refund(fact)
    return fact


def _is_same_refund(refund: Refund, fact: RefundFact) -> bool:
    to = refund_calls.STATUS_OF.get(fact.status, RefundStatus.PENDING)
    is_over_there = to in {RefundStatus.FAILED, RefundStatus.CANCELED}
    is_state = refund.status == to or (
        is_over_there and refund.status in SETTLED_BY_HAND
    )
    sums = (refund.amount_minor, refund.currency)
    return is_state and sums == (fact.amount_minor, fact.currency)


def _gone(refund: Refund) -> int:
    return refund.amount_minor if refund.status in _GOES_BACK else 0


def _gone_at_stripe(fact: RefundFact) -> int:
    return 0 if fact.status in {"failed", "canceled"} else fact.amount_minor


_GOES_BACK = (
    RefundStatus.PENDING,
    RefundStatus.REQUIRES_ACTION,
    RefundStatus.SUCCEEDED,
)


def _say_refund(fact: RefundFact) -> str:
    amount = format_money(fact.amount_minor, fact.currency)
    return f"{fact.id} of {amount} is {fact.status.replace('_', ' ')}"


REFUNDS = Subject(
    name="refunds",
    named_by="refund",
    model=Refund,
    fetch=client.retrieve_refund,
    read_page=client.page_of_refunds,
    record=_record_refund,
    see_to_unknown=_see_to_unknown_refund,
    is_same=_is_same_refund,
    ours_minor=_gone,
    stripe_minor=_gone_at_stripe,
    say=_say_refund,
)
SUBJECTS = {subject.name: subject for subject in (PAYMENTS, REFUNDS)}


def is_counted(fact: Any, row: Any) -> bool:
    """Whether its money should be here: others may use the account, too."""
    return row is not None or bears_our_mark(fact.metadata)
