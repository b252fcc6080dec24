"""Decides whether a session token is Clerk's and meant for us; reads no database."""

import re
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings

from slotbase.accounts.errors import TokenExpired, TokenInvalid

MAX_TOKEN_CHARACTERS = 8 * 1024
LEEWAY_SECONDS = 5
REQUIRED_CLAIMS = ["exp", "iat", "nbf", "iss", "sub", "sid", "azp"]
# A token that brings its own key, or says where to find it, is a forgery.
_KEY_BEARING_HEADERS = {"jku", "jwk", "x5u", "x5c"}
# What fits our columns and PostgreSQL can store: no NUL, no half of a surrogate pair.
_IDENTIFIER = re.compile(r"[^\x00\ud800-\udfff]{1,64}")


@dataclass(frozen=True)
class Session:
    """Whose token it is, and which of their sessions it belongs to."""

    customer_id: str
    session_id: str


def read_key_id(token: str) -> str:
    """The id of the key that the token claims to be signed with.

    Raises:
        TokenInvalid: too long to be read, or not a token that Clerk would make.
    """
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenInvalid("too long")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise TokenInvalid("malformed") from error
    if header.get("alg") != "RS256" or header.get("typ", "JWT") != "JWT":
        raise TokenInvalid("another kind of token")
    if _KEY_BEARING_HEADERS & header.keys():
        raise TokenInvalid("brings its own key")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise TokenInvalid("no key id")
    return key_id


def verify_token(token: str, *, key: RSAPublicKey) -> Session:
    """Whose session the token stands for.

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
            options={"require": REQUIRED_CLAIMS},
        )
        lifetime = int(claims["exp"]) - int(claims["iat"])
    except jwt.ExpiredSignatureError as error:
        raise TokenExpired from error
    except (jwt.PyJWTError, ValueError) as error:
        raise TokenInvalid(type(error).__name__) from error
    _require_ours(claims, lifetime)
    return Session(customer_id=claims["sub"], session_id=claims["sid"])


def _require_ours(claims: dict[str, Any], lifetime: int) -> None:
    if claims["azp"] not in settings.CLERK_AUTHORIZED_PARTIES:
        raise TokenInvalid("authorized party")
    if lifetime > settings.CLERK_MAX_TOKEN_SECONDS:
        raise TokenInvalid("lives too long")
    # Clerk: a pending session has tasks left and counts as signed out.
    if claims.get("sts", "active") != "active":
        raise TokenInvalid("session pending")
    for name in ("sub", "sid"):
        if not _is_identifier(claims[name]):
            raise TokenInvalid(f"unusable {name}")


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and _IDENTIFIER.fullmatch(value) is not None
