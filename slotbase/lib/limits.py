"""How many requests a minute pass at all, before anybody is asked who they are.

The API's own limits (slotbase/lib/api/throttles.py) know customers; these know only
addresses, the whole installation, and staff. Refused requests of one address do not
count for all, so that one address cannot use up what is everybody's.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import Throttled

from slotbase.lib.addresses import address_of
from slotbase.lib.api.problems import FRAMEWORK_KINDS, Kind, kind_of, refuse
from slotbase.lib.counts import is_within, seconds_left
from slotbase.lib.errors import Unavailable

Handler = Callable[[HttpRequest], HttpResponse]

TOO_MANY = FRAMEWORK_KINDS[Throttled]
FULL = kind_of(Unavailable)
# Machines ask it every few seconds, and it is what tells of a flood.
HEALTH = ("/health", "/health/live", "/health/ready")
# Providers send from few addresses, and often: what they tell is money.
WEBHOOKS = "/webhooks/"
# Staff work on while customers, or others, are too many.
BACK_OFFICE = "/admin/"


def limit_requests(get_response: Handler) -> Handler:
    """Refuse what is too much from one address, or for this installation."""

    def handle(request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path in HEALTH:
            return get_response(request)
        if not _is_within_address(path, address_of(request.META)):
            return _refuse(request, TOO_MANY, "Too many requests from this address.")
        counts_for_all = not path.startswith((WEBHOOKS, BACK_OFFICE))
        if counts_for_all and not _is_within("GLOBAL", "all"):
            return _refuse(request, FULL, "Too many requests at the moment.")
        return get_response(request)

    return handle


def limit_staff(get_response: Handler) -> Handler:
    """Refuse what is too much from one member of staff, on any number of addresses."""

    def handle(request: HttpRequest) -> HttpResponse:
        user = request.user if request.path_info.startswith(BACK_OFFICE) else None
        if user is None or user.pk is None or _is_within("USER", f"user:{user.pk}"):
            return get_response(request)
        return _refuse(request, TOO_MANY, "Too many requests: wait for a minute.")

    return handle


def _is_within_address(path: str, address: str) -> bool:
    if path.startswith(WEBHOOKS):
        return _is_within("WEBHOOKS", f"webhooks:{address}")
    return _is_within("SHARED_ADDRESS", f"anything:{address}")


def _is_within(limit: str, name: str) -> bool:
    return is_within(getattr(settings, f"THROTTLE_{limit}_PER_MINUTE"), "all", name)


def _refuse(request: HttpRequest, kind: Kind, detail: str) -> HttpResponse:
    answer = refuse(request, kind, detail)
    answer["Retry-After"] = str(max(1, round(seconds_left())))
    return answer
