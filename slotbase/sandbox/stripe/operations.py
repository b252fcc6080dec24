"""One operation of the API, and what all of them share: lists, retrieval, expansion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from slotbase.sandbox.stripe import forms
from slotbase.sandbox.stripe.account import Account, Object
from slotbase.sandbox.stripe.errors import Refused
from slotbase.sandbox.stripe.forms import Reader

Effect = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """The id in the path, or nothing, and the parameters as values."""

    id: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """What an operation answers, and what it did."""

    body: Object
    effect: Effect | None = None


Action = Callable[[Account, Call], Done]


def _accept(_: Mapping[str, Any]) -> None:
    """No more to check."""


@dataclass(frozen=True)
class Operation:
    """An address, the parameters it knows, and what it does.

    `check` looks at several parameters together: what it refuses has not begun, so its
    idempotency key may be used again.
    """

    method: str
    path: str
    name: str
    action: Action
    known: Mapping[str, Reader] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], None] = _accept

    def read(self, id_: str, raw: Mapping[str, Any]) -> Call:
        """The call that these parameters describe.

        Raises:
            Refused: one is unknown, missing or wrong.
        """
        known = {"expand": forms.texts, **self.known}
        params = forms.read(raw, known, self.required)
        self.check(params)
        return Call(id_, params)

    def run(self, account: Account, call: Call) -> Done:
        """Do it.

        Raises:
            Refused: the account is not in a state for it.
        """
        done = self.action(account, call)
        paths = call.params.get("expand", [])
        return Done(_expanded(account, done.body, paths), done.effect)


# How an object is shown.
Show = Callable[[Account, Object], Object]


def _as_it_is(_: Account, each: Object) -> Object:
    return each


def retrieval(
    table: str,
    param: str = "id",
    *,
    known: Mapping[str, Reader] | None = None,
    show: Show = _as_it_is,
) -> Operation:
    """`GET /v1/<table>/{id}`: one object."""

    def retrieve(account: Account, call: Call) -> Done:
        return Done(show(account, account.get(table, call.id, param)))

    return Operation(
        "GET", f"/v1/{table}/{{id}}", f"{table}.retrieve", retrieve, known or {}
    )


Match = Callable[[Object], bool]
# What to look for, given what was asked; it may refuse.
Select = Callable[[Account, Mapping[str, Any]], Match]


def listing(
    table: str,
    select: Select,
    *,
    known: Mapping[str, Reader] | None = None,
    show: Show = _as_it_is,
) -> Operation:
    """`GET /v1/<table>`: those that match, newest first, in pages."""
    paging: dict[str, Reader] = {
        "limit": forms.integer(1, 100),
        "starting_after": forms.text,
        "ending_before": forms.text,
        "created": forms.moment,
    }
    return Operation(
        "GET",
        f"/v1/{table}",
        f"{table}.list",
        partial(_list, table, select, show),
        {**paging, **(known or {})},
        check=_check_cursors,
    )


def _check_cursors(params: Mapping[str, Any]) -> None:
    if "starting_after" in params and "ending_before" in params:
        raise Refused(
            "You may only specify one of these parameters: ending_before, "
            "starting_after.",
            param="ending_before",
        )


def _list(table: str, select: Select, show: Show, account: Account, call: Call) -> Done:
    params, is_wanted = call.params, select(account, call.params)

    def matches(each: Object) -> bool:
        return _is_in(params.get("created", {}), each) and is_wanted(each)

    found = account.newest_first(table, matches)
    page, has_more = _page(account, table, found, params)
    data = [show(account, each) for each in page]
    body = {"object": "list", "url": f"/v1/{table}", "has_more": has_more, "data": data}
    return Done(body)


def _is_in(bounds: Mapping[str, int], each: Object) -> bool:
    created: int = each["created"]
    return (
        created > bounds.get("gt", -1)
        and created >= bounds.get("gte", 0)
        and created < bounds.get("lt", created + 1)
        and created <= bounds.get("lte", created)
    )


def _page(
    account: Account, table: str, found: list[Object], params: Mapping[str, Any]
) -> tuple[list[Object], bool]:
    limit = params.get("limit", 10)
    if "ending_before" in params:
        newer = found[: _place(account, table, found, params, "ending_before")]
        return newer[-limit:], len(newer) > limit
    if "starting_after" in params:
        after = _place(account, table, found, params, "starting_after") + 1
        found = found[after:]
    return found[:limit], len(found) > limit


def _place(
    account: Account,
    table: str,
    found: list[Object],
    params: Mapping[str, Any],
    name: str,
) -> int:
    cursor = account.get(table, params[name], name)
    if cursor not in found:
        raise Refused(f"{cursor['id']} is not in this list.", param=name)
    return found.index(cursor)


def _expanded(account: Account, body: Object, paths: list[str]) -> Object:
    for path in paths:
        if body["object"] == "list":
            name = path.removeprefix("data.")
            data = [_expand(account, each, name) for each in body["data"]]
            body = {**body, "data": data}
        else:
            body = _expand(account, body, path)
    return body


def _expand(account: Account, body: Object, name: str) -> Object:
    if name not in body:
        raise Refused(f"This property cannot be expanded ({name}).", param="expand")
    value = body[name]
    found = account.find(value) if isinstance(value, str) else None
    if found is None and value is not None:
        raise Refused(f"This property cannot be expanded ({name}).", param="expand")
    return {**body, name: found}
