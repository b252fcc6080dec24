"""What tests may tell Stripe: what customers, banks and people at the dashboard do."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fields import (
    ControlError,
    check_choice,
    check_number,
    check_text,
    read_object,
)
from slotbase.sandbox.stripe import disputes, paying, refunds
from slotbase.sandbox.stripe.account import (
    DISPUTES,
    INTENTS,
    REFUNDS,
    Account,
    Object,
)
from slotbase.sandbox.stripe.charges import charge_of
from slotbase.sandbox.stripe.errors import Refused
from slotbase.sandbox.stripe.idempotency import IdempotencyKeys
from slotbase.sandbox.stripe.money import CURRENCIES, MOST
from slotbase.sandbox.stripe.operations import Effect
from slotbase.sandbox.stripe.refunds import Fate, NextFates

_TARGET = ("payment_intent", "charge")
_FATE = ("status", "pending_reason", "failure_reason")


class Controls:
    """The control API of Stripe, relative to `/_sandbox`."""

    def __init__(
        self, account: Account, keys: IdempotencyKeys, fates: NextFates
    ) -> None:
        self._account = account
        self._keys = keys
        self._fates = fates

    def routes(self) -> list[Route]:
        """Pay, refund, dispute; move refunds and disputes; let keys expire."""
        controls: dict[str, tuple[str, Callable[[Request], Reply]]] = {
            "/stripe/pay": ("pay", self._pay),
            "/stripe/refunds": ("settle_refund", self._settle_refund),
            "/stripe/refunds/next": ("script_refund", self._script_refund),
            "/stripe/dashboard/refunds": ("refund_outside", self._refund_outside),
            "/stripe/disputes": ("dispute", self._dispute),
            "/stripe/idempotency": ("expire_keys", self._expire_keys),
        }
        return [
            Route("POST", path, name, _refusals_told(handler))
            for path, (name, handler) in controls.items()
        ]

    def _pay(self, request: Request) -> Reply:
        allowed = ("payment_intent", "outcome", "amount", "currency", "silent")
        data = read_object(request, allowed=allowed)
        id_ = check_text(data.get("payment_intent"), "payment_intent")
        outcome = check_choice(
            data.get("outcome"), "outcome", choices=list(paying.OUTCOMES)
        )
        intent = self._account.get(INTENTS, id_, "payment_intent")
        if not paying.is_possible(intent, outcome):
            raise ControlError(f"{id_} is {intent['status']}: no {outcome}.")
        silence = self._account.silently() if _is_silent(data) else nullcontext()
        intent.update(_read_money(data))
        with silence:
            return _reply(intent, paying.OUTCOMES[outcome](self._account, intent))

    def _settle_refund(self, request: Request) -> Reply:
        data = read_object(request, allowed=("refund", *_FATE))
        id_ = check_text(data.get("refund"), "refund")
        made = self._account.get(REFUNDS, id_, "refund")
        possible = refunds.MOVES[made["status"]]
        if not possible:
            raise ControlError(f"{id_} is {made['status']} for good.")
        fate = _read_fate(data, possible)
        return _reply(made, refunds.settle(self._account, made, fate))

    def _script_refund(self, request: Request) -> Reply:
        data = read_object(request, allowed=_FATE)
        self._fates.add(_read_fate(data, ("pending", "requires_action", "failed")))
        return Reply(204)

    def _refund_outside(self, request: Request) -> Reply:
        data = read_object(request, allowed=(*_TARGET, "amount", "reason", "metadata"))
        target = _read_target(data)
        wish = {**target, **_read_amount(data), "metadata": _read_metadata(data)}
        if "reason" in data:
            wish["reason"] = check_choice(
                data["reason"], "reason", choices=refunds.REASONS
            )
        made = refunds.refund(self._account, wish, Fate())
        return _reply(made, refunds.effect_on(made, "refund_created"))

    def _dispute(self, request: Request) -> Reply:
        allowed = ("dispute", *_TARGET, "amount", "reason", "status")
        data = read_object(request, allowed=allowed)
        return self._move_dispute(data) if "dispute" in data else self._open(data)

    def _open(self, data: Mapping[str, Any]) -> Reply:
        charge = charge_of(self._account, _read_target(data))
        terms = {"amount": charge["amount"], **_read_amount(data)}
        status = data.get("status", disputes.OPEN[0])
        dispute, effect = disputes.open_dispute(
            self._account,
            charge,
            amount=terms["amount"],
            status=check_choice(status, "status", choices=disputes.OPEN),
            reason=check_text(data.get("reason", "fraudulent"), "reason"),
        )
        return _reply(dispute, effect)

    def _move_dispute(self, data: Mapping[str, Any]) -> Reply:
        id_ = check_text(data["dispute"], "dispute")
        dispute = self._account.get(DISPUTES, id_, "dispute")
        # A bank may think better of what was lost, and of nothing else.
        is_overturned = (dispute["status"], data.get("status")) == ("lost", "won")
        if dispute["status"] in disputes.CLOSED and not is_overturned:
            raise ControlError(f"{id_} is {dispute['status']} for good.")
        choices = (*disputes.OPEN, *disputes.CLOSED)
        status = check_choice(data.get("status"), "status", choices=choices)
        return _reply(dispute, disputes.move_dispute(self._account, dispute, status))

    def _expire_keys(self, request: Request) -> Reply:
        data = read_object(request, allowed=("expire",))
        key = check_text(data.get("expire"), "expire")
        return Reply(200, {"expired": self._keys.expire(None if key == "all" else key)})


def _refusals_told(handler: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    def tell(request: Request) -> Reply:
        try:
            return handler(request)
        except Refused as error:
            raise ControlError(str(error)) from error

    return tell


def _reply(about: Object, effect: Effect | None) -> Reply:
    # A copy: the object may have changed before the reply is written.
    return Reply(200, dict(about), effect=effect)


def _is_silent(data: Mapping[str, Any]) -> bool:
    silent = data.get("silent", False)
    if not isinstance(silent, bool):
        raise ControlError("silent must be true or false.")
    return silent


def _read_target(data: Mapping[str, Any]) -> dict[str, str]:
    given = {name: check_text(data[name], name) for name in _TARGET if name in data}
    if len(given) != 1:
        raise ControlError("Send either payment_intent or charge.")
    return given


def _read_amount(data: Mapping[str, Any], low: int = 1) -> dict[str, int]:
    if "amount" not in data:
        return {}
    return {"amount": check_number(data["amount"], "amount", low=low, high=MOST)}


def _read_money(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the intent is about from now on, as if somebody else had changed it."""
    changes: dict[str, Any] = {**_read_amount(data, low=0)}
    if "currency" in data:
        changes["currency"] = check_choice(
            data["currency"], "currency", choices=CURRENCIES
        )
    return changes


def _read_metadata(data: Mapping[str, Any]) -> dict[str, str]:
    given = data.get("metadata", {})
    if not isinstance(given, dict):
        raise ControlError("metadata must be an object of texts.")
    return {key: check_text(value, "Each of metadata") for key, value in given.items()}


def _read_fate(data: Mapping[str, Any], statuses: tuple[str, ...]) -> Fate:
    status = check_choice(data.get("status"), "status", choices=statuses)
    reasons = {
        "pending": ("pending_reason", refunds.PENDING_REASONS, "processing"),
        "failed": ("failure_reason", refunds.FAILURE_REASONS, "unknown"),
    }
    name, choices, default = reasons.get(status, ("", (), ""))
    wrong = (data.keys() & {"pending_reason", "failure_reason"}) - {name}
    if wrong:
        raise ControlError(f"{wrong.pop()} does not go with {status}.")
    if not name:
        return Fate(status)
    reason = check_choice(data.get(name, default), name, choices=choices)
    return Fate(status, **{name: reason})
