"""The last net below the logs: what must not be read there is blanked wherever it is.

Nothing personal and no secret should be logged in the first place. But a traceback
quotes values, and a library logs what it likes: what has a form of its own is found by
it, our secrets by their values.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from slotbase.lib.card_numbers import mask_card_numbers

BLANK = "[redacted]"
#: Settings that are secrets; `docs/howto/rotate-secrets.md` says how each is changed.
SECRETS = (
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "OPS_TOKEN"),
    *("CLERK_SECRET_KEY", "STRIPE_SECRET_KEY", "RESEND_API_KEY", "FCM_CREDENTIALS"),
    "OPENAI_API_KEY",
    *("STRIPE_WEBHOOK_SECRETS", "RESEND_WEBHOOK_SECRETS", "CLERK_WEBHOOK_SECRETS"),
)
#: Settings with an address that may have a password in it.
WITH_PASSWORD = ("REDIS_URL", "CACHE_URL", "DATABASE_URL", "PROVIDER_PROXY_URL")
# Shorter ones would be found in words.
_LEAST = 8
# Ours, made so that they tell nothing.
_HARMLESS = {"request_id", "timestamp", "level"}
_SECRET_NAME = re.compile(
    r"(?i)authorization|cookie|passw|secret|api_?key|credential|(^|_)token$|otp_?code"
)
_PATTERNS = (
    # Whoever has a link of a mail may choose for its customer.
    (re.compile(r"(/unsubscribe/)[^/\s\"']+"), r"\1..."),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {BLANK}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), BLANK),
    (re.compile(r"\b(?:sk|rk)_(?:live|test)_\w+|\bwhsec_[\w+/=]+"), BLANK),
    (re.compile(r"\b(pi|seti)_\w+?_secret_\w+"), BLANK),
    (re.compile(r"-----BEGIN [^-]+-----[\s\S]*?(?:-----END [^-]+-----|\Z)"), BLANK),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"), rf"\1{BLANK}"),
    # But for the name of a worker.
    (re.compile(r"(?<![\w.%+-])(?!celery@)[\w.%+-]+@[\w-]+(?:\.[\w-]+)+"), BLANK),
    (re.compile(r"\+\d(?:[ ()./-]{0,2}\d){7,14}(?!\d)"), BLANK),
)


def redact(_logger: Any, _method: str, line: Any) -> Any:
    """A processor of structlog, for our own lines and those of libraries."""
    return {
        name: value if name in _HARMLESS or name[:1] == "_" else _blank(value, name)
        for name, value in line.items()
    }


def blank_out(text: str) -> str:
    """The text without what must not be read in a log."""
    for secret in _values():
        text = text.replace(secret, BLANK)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return mask_card_numbers(text)


def _blank(value: Any, name: str = "") -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {blank_out(str(k)): _blank(each, str(k)) for k, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_blank(each, name) for each in value]
    if _SECRET_NAME.search(name):
        return BLANK
    return blank_out(value if isinstance(value, str) else repr(value))


@cache
def _values() -> tuple[str, ...]:
    """All secrets of the settings, the longest first: one may begin with another."""
    found = {each for each in _read_secrets() if len(each) >= _LEAST}
    return tuple(sorted(found, key=len, reverse=True))


def _read_secrets() -> Iterator[str]:
    for name in SECRETS:
        value = getattr(settings, name, "")
        yield from [value] if isinstance(value, str) else value
    yield from _parts_of_the_account(getattr(settings, "FCM_CREDENTIALS", ""))
    yield str(settings.DATABASES["default"].get("PASSWORD") or "")
    yield str(urlsplit(settings.REDIS_URL).password or "")
    yield str(urlsplit(settings.CACHES["default"].get("LOCATION", "")).password or "")
    # Whoever knows a long one may post there; a short one would be found elsewhere.
    path = urlsplit(settings.ALERT_WEBHOOK_URL).path
    yield path if len(path) >= 20 else ""


def _parts_of_the_account(text: str) -> Iterator[str]:
    try:
        yield from json.loads(text or "{}").get("private_key", "").splitlines()[1:-1]
    except (ValueError, AttributeError):
        return
