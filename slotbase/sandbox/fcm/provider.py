"""Firebase Cloud Messaging, simulated: access tokens, and messages to devices."""

import base64
import json
import time
import uuid
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import parse_qs

from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fcm.errors import (
    CODES,
    RETRY_AFTER_SECONDS,
    Refused,
    coded,
    invalid,
    refusal_of,
)
from slotbase.sandbox.fcm.messages import Message, read_message, target_of
from slotbase.sandbox.fields import (
    check_choice,
    check_number,
    check_text,
    read_object,
)
from slotbase.sandbox.provider import Provider

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCESS_TOKEN = "ya29.sandbox."  # noqa: S105 - how all of them begin
TOKEN_SECONDS = 3599
WORKS = "OK"


@dataclass(frozen=True)
class Trouble:
    """What a device is answered with; `count` None means until it is told otherwise."""

    code: str
    field: str = ""
    retry_after: int | None = None
    count: int | None = None

    def refusal(self) -> Refused:
        """In FCM's form."""
        if self.field:
            return invalid(self.field, "Invalid value.")
        return coded(self.code, retry_after=self.retry_after)


class Fcm(Provider):
    """The part of FCM's API that sends, and the one of Google that lets us in."""

    name: ClassVar[str] = "fcm"

    def __init__(self) -> None:
        self._troubles: dict[str, Trouble] = {}

    def routes(self) -> list[Route]:
        """An access token for a service account; send a message."""
        send = "/v1/projects/{project}/messages:send"
        return [
            Route("POST", "/token", "oauth.token", self._authorize),
            Route("POST", send, "messages.send", self._send),
        ]

    def controls(self) -> list[Route]:
        """What becomes of messages to one device."""
        return [Route("POST", "/fcm/tokens", "describe_token", self._describe)]

    def error(self, status: int) -> Reply:
        """An error in Google's form."""
        return refusal_of(status).reply()

    def reset(self) -> None:
        """All devices are reached again."""
        self._troubles = {}

    def _authorize(self, request: Request) -> Reply:
        form = parse_qs(request.body.decode(errors="replace"))
        if form.get("grant_type") != [GRANT] or not _is_fresh(form.get("assertion")):
            error = "invalid_grant"
            return Reply(400, {"error": error, "error_description": "Invalid JWT."})
        return Reply(
            200,
            {
                "access_token": f"{ACCESS_TOKEN}{uuid.uuid4().hex}",
                "expires_in": TOKEN_SECONDS,
                "token_type": "Bearer",
            },
        )

    def _send(self, request: Request) -> Reply:
        try:
            _authenticate(request)
            message, is_trial = read_message(request)
            kind, target = target_of(message)
            self._refuse_troubled(target)
        except Refused as refused:
            return refused.reply()
        name = f"projects/{request.params['project']}/messages/{uuid.uuid4().hex}"
        effect = None if is_trial else _effect(name, kind, target, message)
        return Reply(200, {"name": name}, effect=effect)

    def _refuse_troubled(self, target: str) -> None:
        trouble = self._troubles.get(target)
        if trouble is None:
            return
        if trouble.count is not None:
            self._troubles[target] = replace(trouble, count=trouble.count - 1)
            if trouble.count == 1:
                del self._troubles[target]
        raise trouble.refusal()

    def _describe(self, request: Request) -> Reply:
        allowed = ("token", "error", "field", "retry_after", "count")
        data = read_object(request, allowed=allowed)
        token = check_text(data.get("token"), "token")
        code = check_choice(data.get("error"), "error", choices=[*CODES, WORKS])
        self._troubles.pop(token, None)
        if code != WORKS:
            self._troubles[token] = _read_trouble(code, data)
        return Reply(201, {"token": token, "error": code})


def _read_trouble(code: str, data: dict[str, Any]) -> Trouble:
    trouble = Trouble(code)
    if code == "QUOTA_EXCEEDED":
        trouble = replace(trouble, retry_after=RETRY_AFTER_SECONDS)
    if "field" in data:
        trouble = replace(trouble, field=check_text(data["field"], "field"))
    if "retry_after" in data:
        seconds = check_number(data["retry_after"], "retry_after", low=0, high=86_400)
        trouble = replace(trouble, retry_after=seconds)
    if "count" in data:
        count = check_number(data["count"], "count", low=1, high=1_000_000)
        trouble = replace(trouble, count=count)
    return trouble


def _authenticate(request: Request) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not given.startswith(ACCESS_TOKEN):
        raise refusal_of(401)


def _is_fresh(assertions: list[str] | None) -> bool:
    """Whether it is the signed claim of a service account; of which one is its thing.

    The signature is not looked at: the sandbox does not know the account's key.
    """
    try:
        (assertion,) = assertions or [""]
        _, claims, _ = assertion.split(".")
        padded = claims + "=" * (-len(claims) % 4)
        said = json.loads(base64.urlsafe_b64decode(padded))
        return bool(said["iss"]) and float(said["exp"]) > time.time()
    except (ValueError, KeyError, TypeError):
        return False


def _effect(name: str, kind: str, target: str, message: Message) -> dict[str, Any]:
    notification = message.get("notification", {})
    android = message.get("android", {})
    return {
        "name": name,
        kind: target,
        "title": notification.get("title"),
        "body": notification.get("body"),
        "data": message.get("data", {}),
        "collapse_key": android.get("collapse_key"),
        "ttl": android.get("ttl"),
        "apns": message.get("apns", {}).get("headers", {}),
        "webpush": message.get("webpush", {}),
    }
