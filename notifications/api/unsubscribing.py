"""The page behind the link in a mail: no login, no cookie, no script.

Looking at it changes nothing, since mail scanners do. The button does, and so does the
POST of a mail program (RFC 8058), which has no CSRF token: whoever has the link may.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from notifications import tokens
from notifications.services import choices
from notifications.wording import language_asked_for, language_of, speaking
from recovery import audit
from slotbase.accounts.queries import get_locale
from slotbase.lib.addresses import address_of
from slotbase.lib.api.throttles import AddressThrottle
from slotbase.lib.counts import WINDOW_SECONDS

SUBSCRIBE = "subscribe"
HEADERS = {
    # The address is the key: it must not be told to others, nor be found by them.
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "style-src 'self'",
            "img-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ]
    ),
}


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def subscription(request: HttpRequest, token: str) -> HttpResponse:
    """Show what the link is about, or unsubscribe from it, or subscribe again."""
    if not AddressThrottle().is_within_limit(address_of(request.META)):
        return _page(request, 429, headers={"Retry-After": str(WINDOW_SECONDS)})
    about = tokens.read(token)
    locale = get_locale(about.user_id) if about else None
    if about is None or locale is None:
        return _page(request, 404)
    if request.method == "POST":
        _choose(about, is_wanted=request.POST.get("do") == SUBSCRIBE)
    is_wanted = choices.wants(
        user_id=about.user_id, topic=about.topic, channel=about.channel
    )
    language = language_of(locale)
    return _page(request, 200, language, about=about, is_wanted=is_wanted)


def _choose(about: tokens.Subscription, *, is_wanted: bool) -> None:
    choices.choose(
        user_id=about.user_id,
        topic=about.topic,
        channel=about.channel,
        is_wanted=is_wanted,
        actor=audit.Actor.customer(about.user_id),
        reason="By the link in a mail.",
    )


def _page(
    request: HttpRequest,
    status: int,
    language: str = "",
    *,
    about: tokens.Subscription | None = None,
    is_wanted: bool = False,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """In the language of the mails to somebody; if nobody is known, of the browser."""
    spoken = language or language_asked_for(request.headers.get("Accept-Language", ""))
    context = {
        "status": status,
        "language": spoken,
        "is_wanted": is_wanted,
        "is_done": request.method == "POST",
        "about": about,
    }
    with speaking(spoken):
        # Without request: nothing on the page may ask who is signed in.
        response = render(None, "unsubscribe.html", context, status=status)
    for name, value in {**HEADERS, **(headers or {})}.items():
        response[name] = value
    return response
