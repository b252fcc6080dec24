"""Session tokens of the simulated Clerk: right ones, and forged ones for tests."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from slotbase.sandbox.fields import (
    ControlError,
    check_choice,
    check_number,
    check_object,
    check_text,
    check_texts,
)
from slotbase.sandbox.keys import ALGORITHMS, SigningKey, base64url

KEYS = ("current", "previous", "foreign")
MAX_TTL = 366 * 86400
NOT_BEFORE_SECONDS = 10  # Clerk's tokens are valid from ten seconds before they exist
_OVERRIDES = ("claims", "headers", "remove", "key", "alg")


@dataclass(frozen=True)
class Overrides:
    """How a token differs from what Clerk would make."""

    claims: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    key: str = "current"
    alg: str = "RS256"


@dataclass(frozen=True)
class Minted:
    """A token and what its holder may want to know of it."""

    token: str
    sub: str
    sid: str
    expires_at: str


def read_ttl(data: Mapping[str, Any]) -> int:
    """How long the token lives; a negative one has expired already."""
    return check_number(data.get("ttl", 60), "ttl", low=-MAX_TTL, high=MAX_TTL)


def read_overrides(value: Any) -> Overrides:
    """The overrides of a control request, checked.

    Raises:
        ControlError: unknown or misshapen.
    """
    data = check_object(value, "overrides", allowed=_OVERRIDES)
    return Overrides(
        claims=_any_object(data, "claims"),
        headers=_any_object(data, "headers"),
        remove=frozenset(check_texts(data.get("remove", []), "remove")),
        key=check_choice(data.get("key", "current"), "key", choices=KEYS),
        alg=check_choice(data.get("alg", "RS256"), "alg", choices=ALGORITHMS),
    )


def _any_object(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = data.get(name, {})
    if not isinstance(value, dict):
        raise ControlError(f"{name} must be an object, such as {{}}.")
    return value


@dataclass(frozen=True)
class Mint:
    """Makes tokens for one issuer and one authorized party."""

    issuer: str
    authorized_party: str

    def mint(
        self, *, sub: str, ttl: int, key: SigningKey, overrides: Overrides
    ) -> Minted:
        """A session token for this customer, signed with this key."""
        check_text(sub, "sub")
        sid = "sess_" + secrets.token_hex(14)
        claims = self._claims(sub, sid, ttl)
        headers = {"alg": overrides.alg, "kid": key.kid, "typ": "JWT"}
        return Minted(
            token=_sign(
                _changed(headers, overrides.headers, overrides.remove),
                _changed(claims, overrides.claims, overrides.remove),
                key,
                overrides.alg,
            ),
            sub=sub,
            sid=sid,
            expires_at=datetime.fromtimestamp(claims["exp"], UTC).isoformat(),
        )

    def _claims(self, sub: str, sid: str, ttl: int) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "sub": sub,
            "sid": sid,
            "azp": self.authorized_party,
            "iat": now,
            "nbf": now - NOT_BEFORE_SECONDS,
            "exp": now + ttl,
            "sts": "active",
            "v": 2,
        }


def _changed(
    values: dict[str, Any], changes: Mapping[str, Any], remove: frozenset[str]
) -> dict[str, Any]:
    changed = {**values, **changes}
    return {name: value for name, value in changed.items() if name not in remove}


def _sign(
    headers: dict[str, Any], claims: dict[str, Any], key: SigningKey, algorithm: str
) -> str:
    data = f"{_encode(headers)}.{_encode(claims)}"
    return f"{data}.{base64url(key.sign(algorithm, data.encode()))}"


def _encode(values: dict[str, Any]) -> str:
    return base64url(json.dumps(values, separators=(",", ":")).encode())
