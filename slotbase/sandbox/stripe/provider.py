"""Stripe, simulated: who may ask, in which version, and what a repeat is answered."""

import hmac
import json
import os
import re
from functools import partial
from typing import Any, ClassVar

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.provider import Provider
from slotbase.sandbox.stripe import charges, disputes, events, intents, refunds
from slotbase.sandbox.stripe.account import API_VERSION, Account, Caller, new_id
from slotbase.sandbox.stripe.controls import Controls
from slotbase.sandbox.stripe.errors import Refused, failure, wrong_key
from slotbase.sandbox.stripe.forms import parse
from slotbase.sandbox.stripe.idempotency import IdempotencyKeys, key_of
from slotbase.sandbox.stripe.operations import Call, Operation
from slotbase.sandbox.stripe.refunds import NextFates
from slotbase.sandbox.stripe.signatures import sign
from slotbase.sandbox.webhooks import Webhooks


class Stripe(Provider):
    """The parts of Stripe's API that take and give back money."""

    name: ClassVar[str] = "stripe"

    def __init__(self, *, webhooks: Webhooks) -> None:
        self._secret = os.environ.get("STRIPE_SECRET_KEY") or "sk_test_sandbox"
        self._account = Account(webhooks.channel(self.name, sign))
        self._keys = IdempotencyKeys()
        self._fates = NextFates()
        self._operations = [
            *intents.OPERATIONS,
            *charges.OPERATIONS,
            *refunds.operations(self._fates),
            *disputes.OPERATIONS,
            *events.OPERATIONS,
        ]

    def routes(self) -> list[Route]:
        """The operations of the API."""
        return [
            Route(each.method, each.path, each.name, partial(self._answer, each))
            for each in self._operations
        ]

    def controls(self) -> list[Route]:
        """What customers, banks and people at the dashboard do."""
        return Controls(self._account, self._keys, self._fates).routes()

    def error(self, status: int) -> Reply:
        """An error in Stripe's form."""
        return _refusal(failure(status), _new_headers(None))

    def remember(self, request: Request, reply: Reply) -> Reply:
        """Keep a scripted failure under the request's idempotency key."""
        try:
            kept = self._keys.find(request)
        except Refused as refused:
            return _refusal(refused, _new_headers(key_of(request)))
        if kept is not None:
            return _with_headers(kept, {"Request-Id": new_id("req")})
        headers = {**_new_headers(key_of(request)), "Stripe-Should-Retry": "false"}
        failed = _with_headers(reply, headers)
        self._keys.keep(request, failed)
        return failed

    def keep_in_flight(self, request: Request, seconds: int) -> None:
        """Until then repeats with the same idempotency key are answered 409."""
        self._keys.keep_in_flight(request, seconds)

    def reset(self) -> None:
        """Forget objects, idempotency keys and what refunds were to become."""
        self._account.clear()
        self._keys.expire(None)
        self._fates.clear()

    def _answer(self, operation: Operation, request: Request) -> Reply:
        headers = _new_headers(key_of(request))
        try:
            self._authenticate(request)
            headers["Stripe-Version"] = _read_version(request)
            call = operation.read(request.params.get("id", ""), parse(request))
            kept = self._keys.find(request)
        except Refused as refused:
            return _refusal(refused, headers)
        if kept is not None:
            return _with_headers(kept, {"Request-Id": headers["Request-Id"]})
        reply = self._run(operation, call, headers)
        self._keys.keep(request, reply)
        return reply

    def _run(self, operation: Operation, call: Call, headers: dict[str, str]) -> Reply:
        caller = Caller(headers["Request-Id"], headers.get("Idempotency-Key"))
        try:
            with self._account.serving(caller):
                done = operation.run(self._account, call)
        except Refused as refused:
            return _refusal(refused, headers)
        return Reply(200, _encoded(done.body), headers, effect=done.effect)

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(given.encode(), self._secret.encode())
        if scheme != "Bearer" or not is_right:
            raise wrong_key(given.strip())


def _new_headers(key: str | None) -> dict[str, str]:
    id_ = new_id("req")
    headers = {"Request-Id": id_, "Stripe-Version": API_VERSION}
    if key is not None:
        headers |= {"Idempotency-Key": key, "Original-Request": id_}
    return headers


def _read_version(request: Request) -> str:
    version = request.headers.get("stripe-version", API_VERSION)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.[a-z]+)?", version, re.ASCII):
        raise Refused(f"Invalid Stripe API version: {version}")
    return version


def _encoded(body: Any) -> bytes:
    # At once: the objects may change before the reply is written.
    return json.dumps(body, indent=2).encode()


def _refusal(refused: Refused, headers: dict[str, str]) -> Reply:
    headers = {**headers, **refused.headers}
    return Reply(refused.status, _encoded(refused.body), headers)


def _with_headers(reply: Reply, headers: dict[str, str]) -> Reply:
    return Reply(reply.status, reply.body, {**reply.headers, **headers})
