"""Clerk, simulated: its key set, its users, and the session tokens of customers.

What changes is told by webhook, as Clerk does.
"""

import hmac
import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fields import (
    ControlError,
    check_choice,
    check_text,
    check_texts,
    read_object,
)
from slotbase.sandbox.keys import KeyRing, SigningKey
from slotbase.sandbox.people import People
from slotbase.sandbox.provider import Provider
from slotbase.sandbox.svix import sign
from slotbase.sandbox.tokens import Mint, Overrides, read_overrides, read_ttl
from slotbase.sandbox.webhooks import Webhooks

SESSION_ENDS = ("revoked", "ended", "removed")

_ERRORS = {
    401: ("authentication_invalid", "Invalid authentication"),
    403: ("authorization_invalid", "Unauthorized request"),
    404: ("resource_not_found", "Resource not found"),
    429: ("too_many_requests", "Too many requests, retry later"),
    500: ("internal_clerk_error", "Oops, an unexpected error occurred"),
}


class Clerk(Provider):
    """Clerk's key set in both places where it is found, its users, and a mint."""

    name: ClassVar[str] = "clerk"

    def __init__(self, *, url: str, state_directory: Path, webhooks: Webhooks) -> None:
        parties = os.environ.get("CLERK_AUTHORIZED_PARTIES", "").split(",")
        self._secret = os.environ.get("CLERK_SECRET_KEY") or "sk_test_sandbox"
        self._mint = Mint(
            issuer=f"{url}/{self.name}",
            authorized_party=parties[0].strip() or "http://localhost",
        )
        self._keys = KeyRing(state_directory)
        self._people = People()
        self._channel = webhooks.channel(self.name, sign)

    def routes(self) -> list[Route]:
        """The public key set, and the API, which wants the secret key."""
        return [
            Route("GET", "/.well-known/jwks.json", "jwks", self._jwks),
            Route("GET", "/v1/jwks", "jwks", self._jwks_for_the_secret),
            Route("GET", "/v1/users/{id}", "users.get", self._get_user),
        ]

    def controls(self) -> list[Route]:
        """Give a customer a token; change the signing key, a user or a session."""
        return [
            Route("POST", "/tokens", "mint", self._mint_tokens),
            Route("POST", "/clerk/rotate", "rotate", self._rotate),
            Route("POST", "/clerk/users", "describe_user", self._describe_user),
            Route("POST", "/clerk/sessions", "end_session", self._end_session),
            Route("POST", "/clerk/events", "tell", self._tell),
        ]

    def error(self, status: int) -> Reply:
        """An error in Clerk's form."""
        code, message = _ERRORS.get(status, ("error", "Error"))
        entry = {"message": message, "long_message": message, "code": code}
        return Reply(status, {"errors": [entry], "clerk_trace_id": "sandbox"})

    def reset(self) -> None:
        """Everybody is as they were."""
        self._people.forget()

    @cached_property
    def _foreign_key(self) -> SigningKey:
        return SigningKey.generate()

    def _jwks(self, _: Request) -> Reply:
        key = self._keys.current
        return Reply(200, {"keys": [key.jwk()]}, effect={"kids": [key.kid]})

    def _jwks_for_the_secret(self, request: Request) -> Reply:
        return self._jwks(request) if self._knows(request) else self.error(401)

    def _get_user(self, request: Request) -> Reply:
        if not self._knows(request):
            return self.error(401)
        person = self._people.find(unquote(request.params["id"]))
        if person is None:
            return self.error(404)
        return Reply(200, person.as_clerk_shows_it())

    def _describe_user(self, request: Request) -> Reply:
        id_, person = self._people.describe(request)
        if person is None:
            self._post("user.deleted", {"object": "user", "id": id_, "deleted": True})
            return Reply(201, {"gone": True})
        self._post("user.updated", person.as_clerk_shows_it())
        return Reply(201, person.as_clerk_shows_it())

    def _end_session(self, request: Request) -> Reply:
        data = read_object(request, allowed=("id", "status"))
        id_ = check_text(data.get("id"), "id")
        status = check_choice(
            data.get("status", SESSION_ENDS[0]), "status", choices=SESSION_ENDS
        )
        about = {"object": "session", "id": id_, "status": status}
        return Reply(201, {"id": self._post(f"session.{status}", about)})

    def _tell(self, request: Request) -> Reply:
        """A webhook of any type about anything, also one that is not true."""
        data = read_object(request, allowed=("type", "data"))
        type_, about = check_text(data.get("type"), "type"), data.get("data")
        if not isinstance(about, dict):
            raise ControlError('data must be an object, such as {"id": "user_alice"}.')
        return Reply(201, {"id": self._post(type_, about)})

    def _post(self, type_: str, about: Mapping[str, Any]) -> str:
        id_, now = f"msg_{uuid.uuid4().hex}", int(time.time() * 1000)
        event = {"object": "event", "type": type_, "timestamp": now, "data": about}
        self._channel.post(id_, type_, json.dumps(event).encode())
        return id_

    def _knows(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._secret}".encode())

    def _rotate(self, _: Request) -> Reply:
        self._keys.rotate()
        return Reply(201, {"kid": self._keys.current.kid})

    def _mint_tokens(self, request: Request) -> Reply:
        data = read_object(request, allowed=("sub", "subs", "ttl", "overrides"))
        if ("sub" in data) == ("subs" in data):
            raise ControlError("Send either sub (one text) or subs (a list of texts).")
        ttl, overrides = read_ttl(data), read_overrides(data.get("overrides", {}))
        key = self._key(overrides)
        if "sub" in data:
            sub = data["sub"]
            minted = self._mint.mint(sub=sub, ttl=ttl, key=key, overrides=overrides)
            return Reply(201, asdict(minted))
        return self._mint_many(check_texts(data["subs"], "subs"), ttl, key, overrides)

    def _mint_many(
        self, subs: list[str], ttl: int, key: SigningKey, overrides: Overrides
    ) -> Reply:
        mint = self._mint.mint
        tokens = {
            sub: mint(sub=sub, ttl=ttl, key=key, overrides=overrides).token
            for sub in subs
        }
        return Reply(201, {"tokens": tokens})

    def _key(self, overrides: Overrides) -> SigningKey:
        if overrides.key == "foreign":
            return self._foreign_key
        if overrides.key == "current":
            return self._keys.current
        if self._keys.previous is None:
            raise ControlError(
                "There is no previous key yet: POST /_sandbox/clerk/rotate first."
            )
        return self._keys.previous
