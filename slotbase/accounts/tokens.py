"""Decides whether a session token is Clerk's and meant for us; reads no database."""

import base64
import json
import math
import re
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings

from slotbase.accounts.errors import TokenExpired, TokenInvalid

MAX_TOKEN_CHARACTERS = 8 * 1024
LEEWAY_SECONDS = 5
FRESH_SECONDS = 60
LATEST_STAMP = 2**53
REQUIRED_CLAIMS = ["exp", "iat", "nbf", "iss", "sub", "sid", "azp"]
# A token that brings its own key, or says where to find it, is a forgery.
_KEY_BEARING_HEADERS = {"jku", "jwk", "x5u", "x5c"}
# The readers of base64 skip what does not belong there.
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# What fits our columns and PostgreSQL can store: no NUL, no half of a surrogate pair.
_IDENTIFIER = re.compile(r"[^\x00\ud800-\udfff]{1,64}")


class Needs(StrEnum):
    """What an address wants of a token, beside that it is right (ADR 0038).

    `GRACE`: while Clerk is away it may have expired, up to CLERK_GRACE_SECONDS ago.
    `FRESH`: while Clerk is away it must be a minute old at most, since money moves.
    """

    LIFE = "life"
    GRACE = "grace"
    FRESH = "fresh"


@dataclass(frozen=True)
class Session:
    """Whose token it is, and which of their sessions it belongs to.

    `is_late`: the token has expired, and is good for what needs no more than `GRACE`.
    """

    customer_id: str
    session_id: str
    issued_at: float = 0
    is_late: bool = False

    @property
    def age(self) -> float:
        """Seconds since Clerk made the token."""
        return time.time() - self.issued_at


def read_key_id(token: str) -> str:
    """The id of the key that the token claims to be signed with.

    Raises:
        TokenInvalid: too long to be read, or not a token that Clerk would make.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenInvalid("too long")
    if _TOKEN.fullmatch(token) is None:
        raise TokenInvalid("malformed")
    try:
        header = jwt.get_unverified_header(token)
        _refuse_doubles(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise TokenInvalid("malformed") from error
    if header.get("alg") != "RS256" or header.get("typ", "JWT") != "JWT":
        raise TokenInvalid("another kind of token")
    if _KEY_BEARING_HEADERS & header.keys():
        raise TokenInvalid("brings its own key")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise TokenInvalid("no key id")
    return key_id


def _refuse_doubles(token: str) -> None:
    """Of two claims of one name readers take different ones: no token has them."""
    for part in token.split(".")[:2]:
        text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        json.loads(text, object_pairs_hook=_without_doubles)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name comes twice")
    return names


def is_signed_by(token: str, key: RSAPublicKey) -> bool:
    """Whether this key made the signature; says nothing of what is signed."""
    try:
        jwt.PyJWS(algorithms=["RS256"]).decode(token, key, algorithms=["RS256"])
    except (jwt.PyJWTError, ValueError):
        return False
    return True


def verify_token(token: str, *, key: RSAPublicKey, grace_seconds: int = 0) -> Session:
    """Whose session the token stands for; one in its grace is late.

    Raises:
        TokenExpired: it was right, and is too old.
        TokenInvalid: it is not right, for whatever reason.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            issuer=settings.CLERK_ISSUER,
            leeway=LEEWAY_SECONDS,
            options={"require": REQUIRED_CLAIMS, "verify_exp": False},
        )
    except (jwt.PyJWTError, ValueError) as error:
        raise TokenInvalid(type(error).__name__) from error
    issued_at, expires_at = _stamp(claims["iat"]), _stamp(claims["exp"])
    over_for = time.time() - LEEWAY_SECONDS - expires_at
    if over_for >= grace_seconds:
        raise TokenExpired
    _require_ours(claims, lifetime=expires_at - issued_at)
    return Session(claims["sub"], claims["sid"], issued_at, is_late=over_for >= 0)


def _stamp(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or abs(value) > LATEST_STAMP:
        raise TokenInvalid("unusable stamp")
    return float(value)


def _require_ours(claims: dict[str, Any], *, lifetime: float) -> None:
    if claims["azp"] not in settings.CLERK_AUTHORIZED_PARTIES:
        raise TokenInvalid("authorized party")
    if lifetime > settings.CLERK_MAX_TOKEN_SECONDS:
        raise TokenInvalid("lives too long")
    # Clerk: a pending session has tasks left and counts as signed out.
    if claims.get("sts", "active") != "active":
        raise TokenInvalid("session pending")
    # Clerk names who acts in somebody's place; nobody does that here.
    if claims.get("act") is not None:
        raise TokenInvalid("impersonation")
    for name in ("sub", "sid"):
        if not is_identifier(claims[name]):
            raise TokenInvalid(f"unusable {name}")


def is_identifier(value: Any) -> bool:
    """Whether it can be an id of Clerk's."""
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None
