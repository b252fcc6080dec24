"""Start-up check: with DEBUG off, unsafe settings stop every process at once."""

from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}


def refuse_unsafe_settings() -> None:
    """Stop the start and name every unsafe value at once, with what would be right.

    Raises:
        ImproperlyConfigured: DEBUG is off and a value is unsafe.
    """
    if settings.DEBUG:
        return
    problems = [*_unsafe_web(), *_unsafe_sign_in()]
    if problems:
        raise ImproperlyConfigured("Unsafe settings. " + " ".join(problems))


def _unsafe_web() -> Iterator[str]:
    hosts = set(settings.ALLOWED_HOSTS)
    only_this_computer = bool(hosts) and hosts <= LOOPBACK
    if len(settings.SECRET_KEY) < 50 or len(set(settings.SECRET_KEY)) < 5:
        yield "SECRET_KEY: set 50 or more random characters."
    if not hosts or any("*" in host for host in hosts):
        yield "ALLOWED_HOSTS: name the hosts, without '*'."
    if settings.DEMO and not only_this_computer:
        yield "DEMO: only with ALLOWED_HOSTS of this computer."
    if not settings.HTTPS_ONLY and not only_this_computer:
        yield "HTTPS_ONLY: may be off with ALLOWED_HOSTS of this computer only."


def _unsafe_sign_in() -> Iterator[str]:
    for name in ("CLERK_JWKS_URL", "CLERK_ISSUER", "CLERK_AUTHORIZED_PARTIES"):
        if not getattr(settings, name):
            yield f"{name}: set it, or no customer can sign in."
    if not settings.DEMO and settings.CLERK_JWKS_URL.startswith("http://"):
        yield "CLERK_JWKS_URL: must be https."
