"""Guesses of passwords and codes: counted before anybody looks whether they are right.

Each counter is one row and one statement, so of a thousand guesses at once no more are
evaluated than of a thousand in a row. A success gives its counts back. Who guesses for
somebody else blocks this login at their own address alone: nobody is locked out by a
stranger. Names are keyed hashes; neither logins nor addresses are kept.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.utils.crypto import salted_hmac

from recovery import conditions
from slotbase.accounts.models import SignInGuard, User
from slotbase.lib.clock import Now

KEPT = timedelta(days=1)  # longer than any block lasts
NO_LIMIT = 1_000_000_000
# A block is over, or the window of the first guess: then counting begins anew. What is
# blocked is not written, which a statement that returns no row says.
_COUNT = """
INSERT INTO accounts_signinguard AS guard (name, failures, since, blocked_until)
VALUES (%(name)s, 1, slotbase_now(), NULL)
ON CONFLICT (name) DO UPDATE SET
    failures = CASE WHEN coalesce(guard.blocked_until, guard.since + %(window)s)
        <= slotbase_now() THEN 1 ELSE guard.failures + 1 END,
    since = CASE WHEN coalesce(guard.blocked_until, guard.since + %(window)s)
        <= slotbase_now() THEN slotbase_now() ELSE guard.since END,
    blocked_until = CASE WHEN guard.since + %(window)s > slotbase_now()
        AND guard.blocked_until IS NULL AND guard.failures + 1 >= %(limit)s
        THEN slotbase_now() + %(window)s END
WHERE guard.blocked_until IS NULL OR guard.blocked_until <= slotbase_now()
RETURNING failures
"""
_GIVE_BACK = """
UPDATE accounts_signinguard SET failures = failures - 1, blocked_until = NULL
WHERE name = ANY(%(names)s) AND failures > 0
"""


@dataclass(frozen=True)
class Guess:
    """One that may be evaluated: it counts as wrong until it is given back."""

    names: tuple[str, ...]


def try_password(*, login: str, password: str, address: str) -> User | None:
    """The member of staff whose password this is; None says nothing of why not.

    A login that does not exist, a wrong password and a blocked login take the same time
    and are told alike. A blocked address is answered at once: its counter is about no
    login, and a hash for each of its requests would take what serves everybody. Not
    inside a transaction: the count stays whatever happens.
    """
    if not _count_address(address):
        return None
    guess = _count_login(login, address)
    if guess is None:
        make_password(password)  # as long as it takes to look
        return None
    user = authenticate(username=login, password=password)
    if user is None or not user.is_staff:
        return None
    give_back(guess)
    return user


def count_guess(*, login: str, address: str) -> Guess | None:
    """Count a guess as wrong, before it is evaluated; None: it must not be."""
    return _count_login(login, address) if _count_address(address) else None


def _count_address(address: str) -> bool:
    """Whether this address may guess at all."""
    limit = settings.SIGN_IN_GUESSES_PER_ADDRESS
    return _count(_name_of_address(address), limit) is not None


def _count_login(login: str, address: str) -> Guess | None:
    """The guess of an address that may guess; None: not for this login."""
    pair = _name("pair", f"{_network(address)} {login}")
    of_pair = _count(pair, settings.SIGN_IN_GUESSES)
    if of_pair is None:
        return None
    name = _name("login", login)
    of_login = _count(name, NO_LIMIT)
    # Guessed from everywhere: each address has one guess, so its owner gets in.
    if (of_login or 0) > settings.SIGN_IN_GUESSES_PER_LOGIN and of_pair > 1:
        return None
    return Guess((_name_of_address(address), pair, name))


def count_code(*, login: str) -> Guess | None:
    """Count a guess of a code of six digits, from wherever; None: no more for now.

    Only who knows the password comes so far, and six digits can be guessed. The owner
    still has recovery codes, which cannot.
    """
    name = _name("codes", login)
    counted = _count(name, settings.SIGN_IN_CODES_PER_LOGIN)
    return None if counted is None else Guess((name,))


def give_back(guess: Guess) -> None:
    """It was right: it does not count, and blocks nobody."""
    with connection.cursor() as cursor:
        cursor.execute(_GIVE_BACK, {"names": list(guess.names)})


def forget_old_guesses(*, limit: int) -> int:
    """Delete counters of yesterday; returns how many."""
    old = SignInGuard.objects.filter(since__lte=Now() - KEPT).order_by("since")
    names = list(old.values_list("name", flat=True)[:limit])
    SignInGuard.objects.filter(name__in=names, since__lte=Now() - KEPT).delete()
    return len(names)


def find_blocks() -> Mapping[str, str]:
    """Who guesses so much that it is no forgotten password."""
    blocked = SignInGuard.objects.filter(blocked_until__gt=Now())
    found = {}
    if blocked.filter(name__startswith="address:").exists():
        found["passwords"] = "Somebody guesses passwords of staff"
    if blocked.filter(name__startswith="codes:").exists():
        found["codes"] = "Somebody knows a password of staff and guesses codes"
    return found


conditions.register("sign_in_guessing", find_blocks)


def _count(name: str, limit: int) -> int | None:
    """Add one; how many there are now, None if the name is blocked."""
    window = timedelta(seconds=settings.SIGN_IN_BLOCK_SECONDS)
    values: dict[str, Any] = {"name": name, "limit": limit, "window": window}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)
        row = cursor.fetchone()
    return row[0] if row else None


def _name(kind: str, text: str) -> str:
    digest = salted_hmac(f"slotbase.guesses.{kind}", text, algorithm="sha256")
    return f"{kind}:{digest.hexdigest()}"


def _name_of_address(address: str) -> str:
    return _name("address", _network(address))


def _network(address: str) -> str:
    """Of IPv6 the first half: whoever has one address there has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
