"""What a webhook says, read with care: it goes into a table, whoever wrote it."""

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

MAX_AGE_SECONDS = 300
MAX_AHEAD_SECONDS = 60
MAX_DEPTH = 64
# Printable ASCII without blanks, and what fits our columns.
_NAME = re.compile(r"[\x21-\x7e]{1,255}")
# PostgreSQL cannot store a NUL or one half of a surrogate pair.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A webhook that is the provider's, and that PostgreSQL can store.

    `event_id` is the same for every delivery of one event; `created_at` is in UTC, None
    if the provider does not say; `livemode` is None where there is no test mode.
    """

    provider: str
    event_id: str
    type: str
    created_at: datetime | None
    account: str = ""
    api_version: str = ""
    livemode: bool | None = None
    payload: dict[str, Any]


class BadWebhook(Exception):
    """Not the provider's, too old, or unreadable; its text is one word of ours."""

    def __init__(self, word: Literal["signature", "stamp", "body"]) -> None:
        super().__init__(word)


class NotConfigured(Exception):
    """We have no usable secret for this provider: let it send the webhook again."""


def read_header(headers: Mapping[str, str], name: str) -> str:
    """A header that the signature needs; its name is in lower case.

    Raises:
        BadWebhook: it is missing or not ASCII.
    """
    value = headers.get(name, "")
    if not value or not value.isascii():
        raise BadWebhook("signature")
    return value


def read_stamp(text: str) -> int:
    """The time of signing, in seconds since 1970.

    Raises:
        BadWebhook: it is not plainly a number.
    """
    if not re.fullmatch(r"[0-9]{1,12}", text):
        raise BadWebhook("signature")
    return int(text)


def require_fresh(stamp: int) -> None:
    """Refuse what was signed too long ago, or in the future, by the wall clock.

    Raises:
        BadWebhook: it was.
    """
    if not -MAX_AHEAD_SECONDS <= time.time() - stamp <= MAX_AGE_SECONDS:
        raise BadWebhook("stamp")


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object that can be stored as jsonb.

    Raises:
        BadWebhook: it is not one.
    """
    try:
        payload = json.loads(body.decode(), object_pairs_hook=_unambiguous)
        _require_storable(payload)
    except (ValueError, RecursionError):
        # Without the error, which holds the body.
        raise BadWebhook("body") from None
    if not isinstance(payload, dict):
        raise BadWebhook("body")
    return payload


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def _require_storable(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise ValueError("a character that cannot be stored")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that JSON does not have")
    if isinstance(value, dict):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list):
        for each in value:
            _require_storable(each, depth + 1)


def read_name(value: Any) -> str:
    """An id or a type: 1 to 255 printable characters of ASCII.

    Raises:
        BadWebhook: it is something else.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadWebhook("body")
    return value


def read_unix_time(stamp: Any, *, per_second: int = 1) -> datetime | None:
    """The time in UTC, or None if this is no such stamp."""
    if isinstance(stamp, bool) or not isinstance(stamp, int):
        return None
    try:
        return datetime.fromtimestamp(stamp / per_second, UTC)
    except (ValueError, OverflowError, OSError):
        return None
