"""What pages of staff show beside their own: critical alerts, what waits for two."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError
from django.http import HttpRequest

from recovery import approvals
from recovery.models import Alert
from recovery.states import AlertStatus, CaseSeverity

SECONDS = 5  # for so long a process does not ask again
MOST = 100


@dataclass(frozen=True)
class Glance:
    """How many there are, up to MOST, and the newest of them."""

    number: int
    newest: Alert | None

    @property
    def others(self) -> int:
        """How many there are beside the newest."""
        return self.number - 1


_NOTHING = Glance(0, None)
_glance, _until = _NOTHING, time.monotonic()


def open_alerts(request: HttpRequest) -> dict[str, Callable[[], Glance]]:  # noqa: ARG001 - Django's signature
    """For templates; only those that ask for it cost anything."""
    return {"critical_alerts": glance}


def waiting_approvals(request: HttpRequest) -> dict[str, Callable[[], int]]:
    """For templates: how many proposals wait for whoever looks."""
    return {"waiting_approvals": lambda: approvals.count_waiting(request.user)}


def glance() -> Glance:
    """What stands open, as it was at most SECONDS ago."""
    global _glance, _until
    if time.monotonic() >= _until:
        _glance, _until = _look(), time.monotonic() + SECONDS
    return _glance


def forget() -> None:
    """Look again at the next page: somebody has just acknowledged one."""
    global _until  # noqa: PLW0603 - as above
    _until = time.monotonic()


def _look() -> Glance:
    unseen = Alert.objects.filter(
        status=AlertStatus.OPEN, severity=CaseSeverity.CRITICAL
    )
    try:
        found = list(unseen.order_by("-first_seen_at")[:MOST])
    except DatabaseError:
        return _NOTHING  # the page itself will say that something is wrong
    return Glance(len(found), found[0]) if found else _NOTHING
