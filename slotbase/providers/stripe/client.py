"""Calls Stripe: makes and cancels intents, refunds, and asks what is true by now.

Each call is made once. It returns a fact, or raises ProviderError: REFUSED (for good),
NOT_EXECUTED (safe to call again), UNKNOWN (a write that may have happened: ask, or call
again with the same idempotency key) or CONFIGURATION. `http_status` is set if an answer
came: 500 and more means that the key may hold that error for a day. Never call in a
transaction; amounts are minor units, currencies upper case, times UTC.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import stripe
import structlog
from django.conf import settings

from slotbase.lib.errors import Unavailable
from slotbase.providers.breaker import Breaker
from slotbase.providers.envelope import BadWebhook, Envelope, read_object
from slotbase.providers.errors import ProviderError
from slotbase.providers.stripe.amounts import to_stripe
from slotbase.providers.stripe.objects import (
    ChargeFact,
    DisputeFact,
    Intent,
    RefundFact,
    read_charge,
    read_dispute,
    read_intent,
    read_refund,
)
from slotbase.providers.stripe.outcomes import (
    Unreadable,
    not_configured,
    outcome_of,
)
from slotbase.providers.stripe.transport import Exchange, Patience
from slotbase.providers.stripe.webhooks import read_event

__all__ = (
    "ChargeFact",
    "DisputeFact",
    "Intent",
    "Patience",
    "RefundFact",
    "breaker",
    "bulkhead",
    "cancel_intent",
    "create_intent",
    "create_refund",
    "find_intent",
    "list_disputes",
    "list_events",
    "list_intents",
    "list_refunds",
    "page_of_intents",
    "page_of_refunds",
    "retrieve_charge",
    "retrieve_dispute",
    "retrieve_intent",
    "retrieve_refund",
)

PAGE = 100
breaker = Breaker("stripe", failures=5, window_seconds=30, open_seconds=15)
log = structlog.get_logger(__name__)

T = TypeVar("T")
Fact = TypeVar("Fact", ChargeFact, DisputeFact, Intent, RefundFact)


def create_intent(
    *,
    amount_minor: int,
    currency: str,
    metadata: Mapping[str, str],
    description: str,
    idempotency_key: str,
    patience: Patience,
) -> Intent:
    """Make an intent that the customer can pay by card; nothing is charged by it.

    A repeat with the same key tells what was so the first time, not what is so now.

    Raises:
        ValueError: an amount that `check_chargeable` would refuse.
        ProviderError: see above.
    """
    return _post(
        read_intent,
        "/v1/payment_intents",
        patience=patience,
        idempotency_key=idempotency_key,
        amount=to_stripe(amount_minor, currency),
        currency=currency.lower(),
        capture_method="automatic",
        payment_method_types=["card"],
        metadata=dict(metadata),
        description=description,
    )


def retrieve_intent(intent_id: str, *, patience: Patience = Patience.WORKER) -> Intent:
    """The intent as it is now.

    Raises:
        ProviderError: REFUSED with `resource_missing` if there is none; else see above.
    """
    return _retrieve(read_intent, "payment_intents", intent_id, patience)


def cancel_intent(intent_id: str, *, idempotency_key: str) -> Intent:
    """Cancel an intent, so that it can never be paid.

    Raises:
        ProviderError: REFUSED with `payment_intent_unexpected_state` if it is paid,
            being paid or canceled; else see above.
    """
    return _post(
        _only(read_intent, intent_id),
        f"{_path('payment_intents', intent_id)}/cancel",
        idempotency_key=idempotency_key,
    )


def find_intent(
    *, metadata: Mapping[str, str], created_from: datetime
) -> Intent | None:
    """The intent that bears this metadata, made at that time or later.

    If there are several, the one with the customer's money, else one that can be paid.

    Raises:
        ProviderError: see above.
    """
    found = [
        intent
        for intent in list_intents(created_from=created_from)
        if metadata.items() <= intent.metadata.items()
    ]
    return max(found, key=_weight, default=None)


def _weight(intent: Intent) -> tuple[int, bool, datetime]:
    return intent.received_minor, intent.status != "canceled", intent.created_at


def list_intents(*, created_from: datetime) -> Iterator[Intent]:
    """All intents made at that time or later, the newest first.

    Raises:
        ProviderError: see above.
    """
    return _pages(read_intent, "payment_intents", created=_since(created_from))


def page_of_intents(
    *, created_from: datetime, after: str = ""
) -> tuple[list[Intent], str]:
    """Up to a hundred intents made since then, the newest first, in one call.

    With them the `after` of the next page; empty if there is none.

    Raises:
        ProviderError: see above.
    """
    return _page(read_intent, "payment_intents", after, created=_since(created_from))


def page_of_refunds(
    *, created_from: datetime, after: str = ""
) -> tuple[list[RefundFact], str]:
    """The same of refunds, whoever made them.

    Raises:
        ProviderError: see above.
    """
    return _page(read_refund, "refunds", after, created=_since(created_from))


def create_refund(
    *,
    payment_intent_id: str,
    amount_minor: int,
    currency: str,
    metadata: Mapping[str, str],
    idempotency_key: str,
) -> RefundFact:
    """Give money back; its `status` tells whether the bank has done it.

    A repeat with the same key tells what was so the first time, not what is so now.

    Raises:
        ProviderError: REFUSED with `charge_already_refunded` or `charge_disputed`, for
            example; else see above.
    """
    return _post(
        read_refund,
        "/v1/refunds",
        idempotency_key=idempotency_key,
        payment_intent=payment_intent_id,
        amount=to_stripe(amount_minor, currency),
        reason="requested_by_customer",
        metadata=dict(metadata),
    )


def retrieve_refund(refund_id: str) -> RefundFact:
    """The refund as it is now.

    Raises:
        ProviderError: see above.
    """
    return _retrieve(read_refund, "refunds", refund_id)


def list_refunds(payment_intent_id: str) -> list[RefundFact]:
    """All refunds of an intent, whoever made them, the newest first.

    Raises:
        ProviderError: see above.
    """
    return [*_pages(read_refund, "refunds", payment_intent=payment_intent_id)]


def retrieve_charge(charge_id: str) -> ChargeFact:
    """The charge as it is now.

    Raises:
        ProviderError: see above.
    """
    return _retrieve(read_charge, "charges", charge_id)


def retrieve_dispute(dispute_id: str) -> DisputeFact:
    """The dispute as it is now.

    Raises:
        ProviderError: see above.
    """
    return _retrieve(read_dispute, "disputes", dispute_id)


def list_disputes(payment_intent_id: str) -> list[DisputeFact]:
    """All disputes about an intent, the newest first.

    Raises:
        ProviderError: see above.
    """
    return [*_pages(read_dispute, "disputes", payment_intent=payment_intent_id)]


def list_events(
    *, created_from: datetime, only_undelivered: bool = False
) -> Iterator[Envelope]:
    """Events of that time or later, of the last 30 days at most, the newest first.

    `only_undelivered`: those that a webhook endpoint did not take. What a webhook could
    not bring either, because it cannot be stored, is left out and logged.

    Raises:
        ProviderError: see above.
    """
    wanted: dict[str, Any] = {"created": _since(created_from)}
    if only_undelivered:
        wanted["delivery_success"] = False
    events = _pages(_read_listed_event, "events", **wanted)
    return (event for event in events if event is not None)


def _read_listed_event(found: Any) -> Envelope | None:
    if not isinstance(found, dict) or found.get("object") != "event":
        raise Unreadable
    try:
        return read_event(read_object(json.dumps(found).encode()))
    except BadWebhook:
        log.warning("stripe_event_unstorable")
        return None


def _since(moment: datetime) -> dict[str, int]:
    return {"gte": int(moment.timestamp())}


def _retrieve(
    read: Callable[[Any], Fact],
    kind: str,
    id_: str,
    patience: Patience = Patience.WORKER,
) -> Fact:
    return _call(_only(read, id_), "get", _path(kind, id_), patience=patience)


def _only(read: Callable[[Any], Fact], id_: str) -> Callable[[Any], Fact]:
    """Reads an answer that has to be about this object."""

    def read_it(found: Any) -> Fact:
        fact = read(found)
        if fact.id != id_:
            raise Unreadable
        return fact

    return read_it


def _post(
    read: Callable[[Any], Fact], path: str, *, idempotency_key: str, **more: Any
) -> Fact:
    if not idempotency_key:
        raise ValueError("The SDK would make a key up, another one for each repeat.")
    return _call(read, "post", path, idempotency_key=idempotency_key, **more)


def _path(kind: str, id_: str) -> str:
    return f"/v1/{kind}/{quote(id_, safe='')}"


def _pages(read: Callable[[Any], T], kind: str, **wanted: Any) -> Iterator[T]:
    """All there is, fetched page by page as it is wanted."""
    after = ""
    while True:
        facts, after = _page(read, kind, after, **wanted)
        yield from facts
        if not after:
            return


def _page(
    read: Callable[[Any], T], kind: str, after: str, **wanted: Any
) -> tuple[list[T], str]:
    cursor = {"starting_after": after} if after else {}
    return _call(
        partial(_read_page, read, after),
        *("get", f"/v1/{kind}"),
        **{"limit": PAGE, **wanted, **cursor},
    )


def _read_page(read: Callable[[Any], T], after: str, found: Any) -> tuple[list[T], str]:
    """What is on a page, and where the next one begins; empty if there is none."""
    has_more, data = found.get("has_more"), found.get("data")
    if not isinstance(has_more, bool) or not isinstance(data, list):
        raise Unreadable
    facts = [read(each) for each in data]
    if not has_more:
        return facts, ""
    # Without an end, or from the beginning again, it would go on for ever.
    if not data or data[-1]["id"] == after:
        raise Unreadable
    return facts, str(data[-1]["id"])


def _call(
    read: Callable[[Any], T],
    method: str,
    path: str,
    *,
    patience: Patience = Patience.WORKER,
    **params: Any,
) -> T:
    """One call of the SDK, which gives the answer as it came: `read` judges it."""
    key = settings.STRIPE_SECRET_KEY
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise not_configured()
    exchange = Exchange(patience)
    sdk = stripe.StripeClient(
        key,
        base_addresses={"api": settings.STRIPE_API_BASE},
        stripe_version=settings.STRIPE_API_VERSION,
        max_network_retries=0,
        http_client=exchange,
    )
    with breaker:
        try:
            return read(sdk.raw_request(method, path, **params).data)
        except Exception as error:  # noqa: BLE001 - it may have been sent, whatever it is
            # Without the error, which quotes what Stripe wrote.
            raise outcome_of(error, exchange, is_write=method == "post") from None


_inside = 0
_door = threading.Lock()


@contextmanager
def bulkhead() -> Iterator[None]:
    """Put calls that a customer's request waits for inside of it.

    At most half of the threads of a web process are inside at a time, so that a slow
    Stripe leaves the others to those who do not pay.

    Raises:
        Unavailable: it is full, or Stripe is being left alone: nothing was sent.
    """
    if breaker.state == "open":
        raise Unavailable
    _enter()
    try:
        yield
    except ProviderError as error:
        if error.was_tried:
            raise
        raise Unavailable from None
    finally:
        _leave()


def _enter() -> None:
    global _inside  # noqa: PLW0603 - a count for the whole process
    with _door:
        if _inside >= max(1, settings.WEB_THREADS // 2):
            raise Unavailable
        _inside += 1


def _leave() -> None:
    global _inside  # noqa: PLW0603 - see above
    with _door:
        _inside -= 1
