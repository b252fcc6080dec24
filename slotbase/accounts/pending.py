"""What a browser session remembers between two steps of a sign-in: never a login.

Stamps are wall clock, like the cookies that carry the session.
"""

import time
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from slotbase.accounts.models import User

SECONDS = 300
MARK, NEW_APP = "pending_sign_in", "pending_app"


@dataclass(frozen=True)
class Pending:
    """Somebody who has shown their password, and where they want to go."""

    user: User
    next: str
    sealed_secret: str


def begin(request: HttpRequest, user: User, *, next: str, sealed_secret: str) -> None:  # noqa: A002 - as in the address
    """The password was right. Whoever used this session before is signed out."""
    request.session.flush()
    request.session[MARK] = {
        "user": str(user.pk),
        "hash": user.get_session_auth_hash(),
        "next": next,
        "secret": sealed_secret,
        "until": time.time() + SECONDS,
    }


def find(request: HttpRequest) -> Pending | None:
    """Who has shown their password within five minutes, if it still is theirs."""
    mark = _still_valid(request, MARK)
    if mark is None:
        return None
    staff = User.objects.filter(pk=mark["user"], is_staff=True, is_active=True)
    user = staff.first()
    if user is None:
        return None
    is_theirs = constant_time_compare(mark["hash"], user.get_session_auth_hash())
    return Pending(user, mark["next"], mark["secret"]) if is_theirs else None


def end(request: HttpRequest) -> None:
    """They are in, or have another app: nothing is pending."""
    request.session.pop(MARK, None)
    request.session.pop(NEW_APP, None)


def begin_new_app(request: HttpRequest, sealed_secret: str) -> None:
    """Whoever is signed in has just shown a code of the app that they replace."""
    request.session[NEW_APP] = {
        "secret": sealed_secret,
        "until": time.time() + SECONDS,
    }


def find_new_app(request: HttpRequest) -> str | None:
    """The sealed secret of the app that is to be the new one."""
    mark = _still_valid(request, NEW_APP)
    return mark["secret"] if mark else None


def _still_valid(request: HttpRequest, name: str) -> dict[str, Any] | None:
    mark: dict[str, Any] | None = request.session.get(name)
    return mark if mark and time.time() < mark["until"] else None
