"""Sessions of staff in the back office: how long they last, and how surely it is them.

A session is over STAFF_SESSION_SECONDS after it began, and STAFF_IDLE_SECONDS after the
last thing that a person did in it. Stamps are wall clock, like the cookies that carry
the session; one that does not fit our clock, such as one of tomorrow, has run out.
"""

import time
from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from slotbase.accounts.models import User
from slotbase.accounts.services import break_glass, second_factors
from slotbase.lib.api.throttles import AddressThrottle

STAMPS = BEGAN_AT, SEEN_AT, VERIFIED_AT = "began_at", "seen_at", "verified_at"
#: The idle stamp is written no more often: most requests leave the session alone.
STAMPED_EVERY = 60


def begin(request: HttpRequest) -> None:
    """Somebody has just shown password and code, and `request.user` is them.

    Not inside a transaction: a superuser's sign-in is told of in one of its own.
    """
    request.session.update(dict.fromkeys(STAMPS, time.time()))
    if request.user.is_superuser:
        break_glass.tell_of_sign_in(user_id=request.user.pk)


def is_verified(request: HttpRequest) -> bool:
    """Whether whoever is signed in has shown a second factor in this session."""
    return VERIFIED_AT in request.session


def is_fresh(request: HttpRequest) -> bool:
    """Whether they have shown one lately enough for money, rights and exports."""
    return _is_within(request, VERIFIED_AT, settings.STEP_UP_SECONDS)


def show_code(request: HttpRequest, code: str) -> bool:
    """Whether this code of theirs is right; then the session is fresh again.

    It counts as a guess, and may be a recovery code.
    """
    shown = second_factors.show_code(
        user=cast("User", request.user), code=code, address=client_address(request)
    )
    if shown is None:
        return False
    refresh(request)
    return True


def refresh(request: HttpRequest) -> None:
    """They have shown a code again; the session ends when it would have ended."""
    request.session[VERIFIED_AT] = time.time()


def client_address(request: HttpRequest | None) -> str:
    """Of whoever asks, as the limits of requests know it (NUM_PROXIES)."""
    return str(AddressThrottle().get_ident(cast("Request", request)))


Handler = Callable[[HttpRequest], HttpResponse]


def limits(get_response: Handler) -> Handler:
    """End what lasted too long before a page is made; the page then asks to sign in.

    What was sent in a session that is over is not looked at: nothing is half done.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith("/admin/") and BEGAN_AT in request.session:
            if _is_over(request):
                logout(request)
            elif _is_by_a_person(request):
                _stay_awake(request)
        return get_response(request)

    return handle


def _is_over(request: HttpRequest) -> bool:
    return not (
        _is_within(request, BEGAN_AT, settings.STAFF_SESSION_SECONDS)
        and _is_within(request, SEEN_AT, settings.STAFF_IDLE_SECONDS)
    )


def _is_within(request: HttpRequest, name: str, seconds: int) -> bool:
    at = request.session.get(name)
    return at is not None and abs(time.time() - at) < seconds


def _is_by_a_person(request: HttpRequest) -> bool:
    """A form, or a page that somebody went to.

    Browsers say which requests they made by themselves, such as those of a page that
    reloads; of one that says nothing every request counts.
    """
    says_so = "Sec-Fetch-Mode" in request.headers
    is_click = request.headers.get("Sec-Fetch-User") == "?1"
    return request.method == "POST" or is_click or not says_so


def _stay_awake(request: HttpRequest) -> None:
    if not _is_within(request, SEEN_AT, STAMPED_EVERY):
        request.session[SEEN_AT] = time.time()
