"""Resend, simulated: it takes mails, and tells by webhook what became of them."""

import hmac
import json
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fields import (
    ControlError,
    check_choice,
    check_number,
    check_text,
    read_object,
)
from slotbase.sandbox.provider import Provider
from slotbase.sandbox.resend.errors import Refused, refusal_of
from slotbase.sandbox.resend.idempotency import IdempotencyKeys
from slotbase.sandbox.resend.limits import NAMES, Limits
from slotbase.sandbox.resend.mails import Mail, read_key, read_mail
from slotbase.sandbox.svix import sign
from slotbase.sandbox.webhooks import Webhooks

EVENTS = tuple(
    f"email.{each}"
    for each in (
        *("sent", "delivered", "delivery_delayed", "bounced", "complained"),
        *("failed", "suppressed", "opened", "clicked"),
    )
)
BOUNCES = ("Permanent", "Temporary")
_MORE: Mapping[str, dict[str, Any]] = {
    "email.bounced": {
        "bounce": {"type": "Permanent", "subType": "General", "message": "Sandbox"}
    },
    "email.failed": {"failed": {"reason": "sandbox"}},
    "email.suppressed": {
        "suppressed": {"type": "OnAccountSuppressionList", "message": "Sandbox"}
    },
}


class Resend(Provider):
    """The part of Resend's API that sends mails."""

    name: ClassVar[str] = "resend"

    def __init__(self, *, webhooks: Webhooks) -> None:
        self._secret = os.environ.get("RESEND_API_KEY") or "re_sandbox"
        self._channel = webhooks.channel(self.name, sign)
        self._keys = IdempotencyKeys()
        self._mails: dict[str, Mail] = {}
        self._limits = Limits()

    def routes(self) -> list[Route]:
        """Send a mail; look at one."""
        return [
            Route("POST", "/emails", "emails.send", self._send),
            Route("GET", "/emails/{id}", "emails.get", self._get),
        ]

    def controls(self) -> list[Route]:
        """A day passes for keys; something becomes of a mail; how much is taken."""
        return [
            Route("POST", "/resend/expire_keys", "expire_keys", self._expire_keys),
            Route("POST", "/resend/events", "tell", self._tell),
            Route("POST", "/resend/limits", "limit", self._limit),
        ]

    def error(self, status: int) -> Reply:
        """An error in Resend's form."""
        return refusal_of(status).reply()

    def keep_in_flight(self, request: Request, seconds: int) -> None:
        """Until then repeats with the same idempotency key are answered 409."""
        self._keys.keep_in_flight(request.headers.get("idempotency-key", ""), seconds)

    def reset(self) -> None:
        """Forget mails, idempotency keys and limits."""
        self._mails = {}
        self._keys.expire(None)
        self._limits.set({})

    def _send(self, request: Request) -> Reply:
        try:
            self._authenticate(request)
            self._limits.count_request()
            key, mail = read_key(request), read_mail(request)
            known = self._keys.find(key, mail)
            if known is None:
                self._limits.count_mail()
        except Refused as refused:
            return refused.reply()
        if known is not None:
            return Reply(200, {"id": known})
        id_ = str(uuid.uuid4())
        self._mails[id_] = {**mail, "created_at": _now(), "last_event": "sent"}
        self._keys.keep(key, mail, id_)
        return Reply(200, {"id": id_}, effect=_effect(id_, mail, key))

    def _get(self, request: Request) -> Reply:
        try:
            self._authenticate(request)
        except Refused as refused:
            return refused.reply()
        id_ = request.params["id"]
        mail = self._mails.get(id_)
        if mail is None:
            return self.error(404)
        empty: Mail = {"html": None, "text": None, "cc": [], "bcc": [], "reply_to": []}
        return Reply(200, {"object": "email", "id": id_, **empty, **mail})

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not given:
            raise refusal_of(401)
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            raise refusal_of(403)

    def _expire_keys(self, request: Request) -> Reply:
        data = read_object(request, allowed=("key",))
        key = check_text(data["key"], "key") if "key" in data else None
        return Reply(200, {"expired": self._keys.expire(key)})

    def _tell(self, request: Request) -> Reply:
        data = read_object(request, allowed=("id", "type", "bounce"))
        type_ = check_choice(data.get("type"), "type", choices=EVENTS)
        mail = self._mails.get(check_text(data.get("id"), "id"))
        if mail is None:
            raise ControlError("id must be that of a mail that was sent.")
        bounce = check_choice(data.get("bounce", BOUNCES[0]), "bounce", choices=BOUNCES)
        mail["last_event"] = type_.removeprefix("email.")
        message_id = f"msg_{uuid.uuid4().hex}"
        self._channel.post(message_id, type_, _event(type_, data["id"], mail, bounce))
        return Reply(201, {"id": message_id})

    def _limit(self, request: Request) -> Reply:
        data = read_object(request, allowed=NAMES)
        self._limits.set(
            {
                name: check_number(value, name, low=0, high=1_000_000)
                for name, value in data.items()
            }
        )
        return Reply(200, self._limits.values)


def _effect(id_: str, mail: Mail, key: str | None) -> dict[str, Any]:
    return {
        "id": id_,
        "to": mail["to"],
        "subject": mail["subject"],
        "text_length": len(mail.get("text", "")),
        "idempotency_key": key,
    }


def _event(type_: str, id_: str, mail: Mail, bounce: str) -> bytes:
    data = {
        "email_id": id_,
        "created_at": mail["created_at"],
        "from": mail["from"],
        "to": mail["to"],
        "subject": mail["subject"],
        "tags": {tag["name"]: tag.get("value", "") for tag in mail.get("tags", [])},
        **_MORE.get(type_, {}),
    }
    if "bounce" in data:
        data["bounce"] = {**data["bounce"], "type": bounce}
    return json.dumps({"type": type_, "created_at": _now(), "data": data}).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat()
