"""Where a request comes from, as far as our own proxies say so."""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

from django.conf import settings

UNKNOWN = "unknown"
# What one customer of a provider is given: all of it is one computer to us.
IPV6_PREFIX = 64


def address_of(meta: Mapping[str, Any]) -> str:
    """The address to count a request by; `meta` as Django's `request.META`.

    `X-Forwarded-For` counts from its end, as far as NUM_PROXIES of our own wrote it;
    what stands before that anybody can make up. IPv6 is a network of 64 bits.
    """
    peer = meta.get("REMOTE_ADDR", "")
    hops = meta.get("HTTP_X_FORWARDED_FOR", "").split(",")
    count = min(settings.NUM_PROXIES, len(hops))
    told = hops[-count] if count else ""
    return _counted(told) or _counted(peer) or UNKNOWN


def _counted(text: str) -> str:
    try:
        address = ip_address(_without_port(text.strip()))
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    network = int(address) >> (128 - IPV6_PREFIX) << (128 - IPV6_PREFIX)
    return f"{IPv6Address(network)}/{IPV6_PREFIX}"


def _without_port(text: str) -> str:
    """Some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
