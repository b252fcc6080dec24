"""Limits of the API: for each customer, for holds, and without sign-in."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from slotbase.lib.addresses import address_of
from slotbase.lib.counts import is_within, seconds_left

if TYPE_CHECKING:  # DRF imports this module while it makes APIView
    from rest_framework.views import APIView


class PerMinute(BaseThrottle):
    """At most `limit_setting` requests a minute for each `identity`."""

    scope: ClassVar[str]
    limit_setting: ClassVar[str]

    def allow_request(self, request: Request, view: "APIView") -> bool:  # noqa: ARG002
        """Count this request and say whether it is within the limit."""
        identity = self.identity(request)
        return identity is None or self.is_within_limit(identity)

    def is_within_limit(self, identity: Any) -> bool:
        """Count one request more of this identity."""
        return is_within(getattr(settings, self.limit_setting), self.scope, identity)

    def wait(self) -> float:
        """Seconds until the next window."""
        return seconds_left()

    def get_ident(self, request: Request) -> str:
        """The client's address; DRF's own counts each of IPv6 apart."""
        return address_of(request.META)

    def identity(self, request: Request) -> Any:
        """Whose requests are counted together; None is never limited."""
        raise NotImplementedError


class UserThrottle(PerMinute):
    """Signed-in customers, each on their own."""

    scope, limit_setting = "user", "THROTTLE_USER_PER_MINUTE"

    def identity(self, request: Request) -> Any:
        """The user's id, None when nobody is signed in."""
        return getattr(request.user, "pk", None)


class AddressThrottle(PerMinute):
    """Requests without sign-in, by address; a venue's guests may share one."""

    scope, limit_setting = "address", "THROTTLE_ADDRESS_PER_MINUTE"

    def identity(self, request: Request) -> Any:
        """The client's address, None when somebody is signed in."""
        is_signed_in = getattr(request.user, "pk", None) is not None
        return None if is_signed_in else self.get_ident(request)


class HoldThrottle(UserThrottle):
    """New holds, which cost more than reads and block what others want."""

    scope, limit_setting = "holds", "THROTTLE_HOLDS_PER_MINUTE"


class ExportThrottle(UserThrottle):
    """All data of a person, which takes a look at every webhook."""

    scope, limit_setting = "exports", "THROTTLE_EXPORTS_PER_MINUTE"


def throttle_refused_sign_in(request: Request) -> None:
    """Count a request without a good token by its address.

    DRF asks its throttles only after it knows who is asking, so these would escape.

    Raises:
        Throttled: the address has sent too many.
    """
    throttle = AddressThrottle()
    if not throttle.is_within_limit(throttle.get_ident(request)):
        raise Throttled(throttle.wait())
