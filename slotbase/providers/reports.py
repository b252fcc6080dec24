"""What comes of the calls of providers, told to whoever listens.

So it is known how a provider is without ever asking it: nobody calls it for that alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from slotbase.providers.errors import ProviderError

#: Each provider that this version may call, and the setting without which it does not.
#: A provider that is to come stands here before its client does.
CONFIGURED_BY = {
    "stripe": "STRIPE_SECRET_KEY",
    "clerk": "CLERK_JWKS_URL",
    "resend": "RESEND_API_KEY",
    "alerts": "ALERT_WEBHOOK_URL",
    "analytics": "ANALYTICS_URL",
    "fcm": "FCM_CREDENTIALS",
    "openai": "OPENAI_API_KEY",
}
#: What works without them is only less comfortable: nobody is woken for these.
EXPENDABLE = frozenset({"openai"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Report:
    """What came of one call; `open_seconds`: for how long no other will be made."""

    provider: str
    error: ProviderError | None = None
    open_seconds: float | None = None


Listener = Callable[[Report], None]
_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Be told of every call from now on, by the thread that made it: be quick."""
    if listener not in _listeners:
        _listeners.append(listener)


def tell(report: Report) -> None:
    """Tell whoever listens. What goes wrong with them does not touch the call."""
    for listener in _listeners:
        try:
            listener(report)
        except Exception as error:  # noqa: BLE001 - the call is worth more than its report
            log.warning("report_lost", error=type(error).__name__)


@contextmanager
def reported(provider: str) -> Iterator[None]:
    """Put it around a call that has no breaker."""
    try:
        yield
    except ProviderError as error:
        tell(Report(provider, error))
        raise
    tell(Report(provider))
