"""What Stripe knows, as facts of ours: each field is checked before it is believed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from slotbase.providers.envelope import read_unix_time
from slotbase.providers.stripe.amounts import from_stripe
from slotbase.providers.stripe.outcomes import Unreadable

MOST = 2**63 - 1  # what a column holds
# Codes, ids, states; a client secret is one as well.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
# What may be said to the customer. Others, such as a stolen card, only say: declined.
_TELLABLE = {
    *("card_declined", "expired_card", "incorrect_cvc", "incorrect_number"),
    *("insufficient_funds", "invalid_expiry_month", "invalid_expiry_year"),
    *("payment_intent_authentication_failure", "processing_error"),
}
_OPEN_DISPUTES = {
    *("needs_response", "under_review"),
    *("warning_needs_response", "warning_under_review"),
}
_MONEY_STAYED = {
    *("won", "warning_closed", "warning_needs_response", "warning_under_review"),
}


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A PaymentIntent. `received_minor` is what the customer has paid.

    `charge_id` and `decline_code` are empty if there is none; the customer may see the
    latter.
    """

    id: str
    status: str
    amount_minor: int
    received_minor: int
    currency: str
    client_secret: str = field(repr=False)
    metadata: dict[str, str]
    charge_id: str
    decline_code: str
    created_at: datetime
    livemode: bool


@dataclass(frozen=True, kw_only=True)
class RefundFact:
    """A refund; reasons and ids of what it has not are empty."""

    id: str
    status: str
    amount_minor: int
    currency: str
    payment_intent_id: str
    charge_id: str
    metadata: dict[str, str]
    failure_reason: str
    pending_reason: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class DisputeFact:
    """A dispute; `funds_withdrawn` is False for inquiries and for those we won."""

    id: str
    status: str
    amount_minor: int
    currency: str
    payment_intent_id: str
    charge_id: str
    reason: str
    is_open: bool
    funds_withdrawn: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ChargeFact:
    """A charge: one attempt to pay an intent."""

    id: str
    payment_intent_id: str
    amount_minor: int
    refunded_minor: int
    currency: str
    disputed: bool


class Fields:
    """The fields of one object; what is missing or of another kind is Unreadable."""

    def __init__(self, found: Any, kind: str) -> None:
        if not isinstance(found, dict) or found.get("object") != kind:
            raise Unreadable
        self._found: Mapping[str, Any] = found
        self.id = self.name("id")

    def name(self, field: str) -> str:
        """An id, a state or a code."""
        value = self._found.get(field)
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise Unreadable
        return value

    def optional_name(self, field: str) -> str:
        """The same, or nothing: empty if it is null or not there."""
        return "" if self._found.get(field) is None else self.name(field)

    def code(self, field: str) -> str:
        """A reason, if it looks like one of Stripe's codes; else empty."""
        value = self._found.get(field)
        is_code = isinstance(value, str) and re.fullmatch(r"[a-z0-9_]{1,64}", value)
        return str(value) if is_code else ""

    def currency(self) -> str:
        """In upper case, as ISO 4217 has it."""
        value = self._found.get("currency")
        if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
            raise Unreadable
        return value.upper()

    def money(self, field: str) -> int:
        """An amount, in our minor units."""
        value = self._found.get(field)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Unreadable
        if not 0 <= value <= MOST:
            raise Unreadable
        return from_stripe(value, self.currency())

    def flag(self, field: str) -> bool:
        """True or False, and nothing like it."""
        value = self._found.get(field)
        if not isinstance(value, bool):
            raise Unreadable
        return value

    def time(self, field: str) -> datetime:
        """A moment, in UTC."""
        value = read_unix_time(self._found.get(field))
        if value is None:
            raise Unreadable
        return value

    def metadata(self) -> dict[str, str]:
        """What can be stored of it: no entry of ours is left out.

        Somebody else's, which we could not store, must not hide the object.
        """
        found = self._found.get("metadata")
        if not isinstance(found, dict):
            raise Unreadable
        return {
            name: value
            for name, value in found.items()
            if isinstance(value, str) and (name + value).isprintable()
        }

    def decline_code(self) -> str:
        """Why the last attempt to pay failed, in a word that may be shown; or empty."""
        error = self._found.get("last_payment_error")
        if error is None:
            return ""
        if not isinstance(error, dict):
            raise Unreadable
        codes = (error.get("decline_code"), error.get("code"))
        told = [each for each in codes if isinstance(each, str) and each in _TELLABLE]
        return told[0] if told else "card_declined"


def read_intent(found: Any) -> Intent:
    """The intent that an answer describes.

    Raises:
        Unreadable: it describes none.
    """
    fields = Fields(found, "payment_intent")
    return Intent(
        id=fields.id,
        status=fields.name("status"),
        amount_minor=fields.money("amount"),
        received_minor=fields.money("amount_received"),
        currency=fields.currency(),
        client_secret=fields.optional_name("client_secret"),
        metadata=fields.metadata(),
        charge_id=fields.optional_name("latest_charge"),
        decline_code=fields.decline_code(),
        created_at=fields.time("created"),
        livemode=fields.flag("livemode"),
    )


def read_refund(found: Any) -> RefundFact:
    """The refund that an answer describes.

    Raises:
        Unreadable: it describes none.
    """
    fields = Fields(found, "refund")
    return RefundFact(
        id=fields.id,
        status=fields.name("status"),
        amount_minor=fields.money("amount"),
        currency=fields.currency(),
        payment_intent_id=fields.optional_name("payment_intent"),
        charge_id=fields.optional_name("charge"),
        metadata=fields.metadata(),
        failure_reason=fields.code("failure_reason"),
        pending_reason=fields.code("pending_reason"),
        created_at=fields.time("created"),
    )


def read_dispute(found: Any) -> DisputeFact:
    """The dispute that an answer describes.

    Raises:
        Unreadable: it describes none.
    """
    fields = Fields(found, "dispute")
    status = fields.name("status")
    return DisputeFact(
        id=fields.id,
        status=status,
        amount_minor=fields.money("amount"),
        currency=fields.currency(),
        payment_intent_id=fields.optional_name("payment_intent"),
        charge_id=fields.optional_name("charge"),
        reason=fields.code("reason"),
        is_open=status in _OPEN_DISPUTES,
        # A state that we do not know counts: better owed too little than paid twice.
        funds_withdrawn=status not in _MONEY_STAYED,
        created_at=fields.time("created"),
    )


def read_charge(found: Any) -> ChargeFact:
    """The charge that an answer describes.

    Raises:
        Unreadable: it describes none.
    """
    fields = Fields(found, "charge")
    return ChargeFact(
        id=fields.id,
        payment_intent_id=fields.optional_name("payment_intent"),
        amount_minor=fields.money("amount"),
        refunded_minor=fields.money("amount_refunded"),
        currency=fields.currency(),
        disputed=fields.flag("disputed"),
    )
