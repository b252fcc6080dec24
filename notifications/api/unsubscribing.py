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
from recovery import audit
from slotbase.accounts.queries import is_known
from slotbase.lib.api.throttles import WINDOW_SECONDS, AddressThrottle

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
    throttle = AddressThrottle()
    if not throttle.is_within_limit(throttle.get_ident(request)):  # type: ignore[arg-type]
        return _page(request, 429, headers={"Retry-After": str(WINDOW_SECONDS)})
    about = tokens.read(token)
    if about is None or not is_known(about.user_id):
        return _page(request, 404)
    if request.method == "POST":
        _choose(about, is_wanted=request.POST.get("do") == SUBSCRIBE)
    is_wanted = choices.wants(
        user_id=about.user_id, topic=about.topic, channel=about.channel
    )
    return _page(request, 200, about=about, is_wanted=is_wanted)


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
    *,
    about: tokens.Subscription | None = None,
    is_wanted: bool = False,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    context = {
        "status": status,
        "is_wanted": is_wanted,
        "is_done": request.method == "POST",
        "topic": about.topic.label.lower() if about else "",
        "channel": "email" if about and about.channel == "EMAIL" else "push message",
    }
    # Without request: nothing on the page may ask who is signed in.
    response = render(None, "unsubscribe.html", context, status=status)
    for name, value in {**HEADERS, **(headers or {})}.items():
        response[name] = value
    return response
