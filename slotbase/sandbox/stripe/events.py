"""Events: what happened, listed and fetched; webhooks carry the same objects."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from slotbase.sandbox.stripe import forms
from slotbase.sandbox.stripe.account import EVENTS, Account, Object
from slotbase.sandbox.stripe.errors import Refused
from slotbase.sandbox.stripe.operations import Match, Operation, listing, retrieval


def _select(account: Account, params: Mapping[str, Any]) -> Match:
    types = params.get("types", [params.get("type", "*")])

    def is_wanted(event: Object) -> bool:
        if not any(fnmatchcase(event["type"], each) for each in types):
            return False
        shown = account.with_pending_webhooks(event)
        wanted = params.get("delivery_success")
        return wanted is None or wanted == (shown["pending_webhooks"] == 0)

    return is_wanted


def _read_types(name: str, raw: Any) -> list[str]:
    types = forms.texts(name, raw)
    if len(types) > 20:
        raise Refused("You may specify at most 20 types.", param=name)
    return types


OPERATIONS: list[Operation] = [
    listing(
        EVENTS,
        _select,
        show=Account.with_pending_webhooks,
        known={
            "type": forms.text,
            "types": _read_types,
            "delivery_success": forms.boolean,
        },
    ),
    retrieval(EVENTS, show=Account.with_pending_webhooks),
]
