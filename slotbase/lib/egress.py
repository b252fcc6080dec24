"""The addresses that SlotBase itself calls: from settings alone, and only outwards.

`docs/explanation/what-leaves-the-house.md` says what each of them gets.
"""

import ipaddress
import json
import socket
import unicodedata
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

#: Settings that hold an address which is called.
CALLED = (
    *("CLERK_API_URL", "CLERK_JWKS_URL", "STRIPE_API_BASE", "RESEND_API_URL"),
    *("FCM_API_URL", "ANALYTICS_URL", "ALERT_WEBHOOK_URL", "OPENAI_BASE_URL"),
)
#: Without these nothing is called; the others have a default.
OPTIONAL = {"ANALYTICS_URL", "ALERT_WEBHOOK_URL"}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_INSIDE = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def read_addresses() -> Iterator[tuple[str, str]]:
    """Each setting that is called, with its address; also Google's sign-in."""
    for name in CALLED:
        address = getattr(settings, name)
        if address or name not in OPTIONAL:
            yield name, address
    if address := _sign_in_of_google():
        yield "FCM_CREDENTIALS", address


def find_fault(address: str) -> str:
    """Why this address must not be called; empty if it may be."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "must be an address."
    if parts.scheme != "https" or not host:
        return "must be https."
    if parts.username is not None:
        return "must not have a user before its host."
    if is_inside(host) and host not in settings.EGRESS_ALLOWED_HOSTS:
        return "must not lead into a private network (EGRESS_ALLOWED_HOSTS)."
    return ""


def is_inside(host: str) -> bool:
    """Whether a host is this computer, one beside it, or a cloud's metadata."""
    # As resolvers read it: there are digits in circles, and other full stops.
    host = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
    host = host.rstrip(".").lower()
    try:
        return not _leads_outwards(ipaddress.ip_address(host))
    except ValueError:
        pass
    return "." not in host or host.endswith(_INSIDE) or _is_odd_number(host)


def _leads_outwards(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether to one computer elsewhere, also by the IPv4 address that is in it."""
    within = None
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            within = ipaddress.IPv4Address(address.packed[-4:])
    if within is not None and not _leads_outwards(within):
        return False
    return address.is_global and not address.is_multicast


def _is_odd_number(host: str) -> bool:
    """Such as 127.1 or 0xA9FEA9FE: resolvers take these for numbers, too."""
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeError):
        return False
    return True


def _sign_in_of_google() -> str:
    try:
        account = json.loads(settings.FCM_CREDENTIALS or "{}")
        return str(account.get("token_uri", ""))
    except (ValueError, AttributeError):
        return ""  # no push is sent with it: a case says so
