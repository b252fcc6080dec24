"""Webhooks of any provider: where they go, and which come late, twice or never."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from slotbase.sandbox.courier import Attempt, Courier, Delivery
from slotbase.sandbox.exchange import Reply, Request, Route
from slotbase.sandbox.fields import (
    ControlError,
    check_choice,
    check_number,
    check_text,
    check_texts,
    read_object,
)

ACTIONS = ("hold", "release", "duplicate", "reorder", "drop", "resend")
RETRY_MS = (200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000)
_LONGEST_PAUSE_MS = 600_000


@dataclass
class Message:
    """One webhook: `owed` are the addresses that have not taken it."""

    id: str
    type: str
    body: bytes
    owed: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True)
class Endpoint:
    """An address that wants a provider's webhooks, and the secret they are signed with.

    `pauses` are the seconds before the second and later attempts.
    """

    url: str
    secret: str
    pauses: tuple[float, ...]


# The headers of a message for an endpoint with this secret, signed at this time.
Signer = Callable[[Message, str, float], Mapping[str, str]]


class Channel:
    """The webhooks of one provider."""

    def __init__(self, courier: Courier, sign: Signer) -> None:
        self._courier = courier
        self._sign = sign
        self._lock = threading.RLock()
        self._endpoints: dict[str, Endpoint] = {}
        self.forget()

    def forget(self) -> None:
        """Begin anew, holding nothing back; what is on its way is called off."""
        with self._lock:
            self._messages: dict[str, Message] = {}
            self._held: dict[str, Message] = {}
            self._is_holding = False

    def post(self, id_: str, type_: str, body: bytes) -> None:
        """Send a message to every endpoint, or keep it while webhooks are held."""
        with self._lock:
            message = Message(id_, type_, body, owed=set(self._endpoints))
            self._messages[id_] = message
            if self._is_holding:
                self._held[id_] = message
            else:
                self._send(message)

    def count_endpoints(self) -> int:
        """How many addresses want the messages."""
        with self._lock:
            return len(self._endpoints)

    def count_owed(self, id_: str) -> int:
        """How many endpoints have not taken the message."""
        with self._lock:
            return len(self._messages[id_].owed)

    def add(self, endpoint: Endpoint) -> None:
        """Send to this address from now on, in place of what it was before."""
        with self._lock:
            self._endpoints[endpoint.url] = endpoint

    def remove_endpoints(self) -> None:
        """Send nowhere; what is on its way to an address is called off."""
        with self._lock:
            self._endpoints.clear()

    def hold(self) -> None:
        """Keep back what is posted from now on."""
        with self._lock:
            self._is_holding = True

    def take_held(self, ids: list[str] | None) -> list[Message]:
        """Take these, or all, out of what is held; with nothing left holding ends.

        Raises:
            ControlError: one of them is not held.
        """
        with self._lock:
            wanted = list(self._held) if ids is None else ids
            _refuse_unknown(wanted, self._held, "held")
            taken = [self._held.pop(id_) for id_ in wanted]
            self._is_holding = bool(self._held)
            return taken

    def send(self, messages: list[Message]) -> None:
        """Send messages in this order."""
        with self._lock:
            for message in messages:
                self._send(message)

    def find(self, ids: list[str]) -> list[Message]:
        """The messages with these ids.

        Raises:
            ControlError: there is no such message.
        """
        with self._lock:
            _refuse_unknown(ids, self._messages, "known")
            return [self._messages[id_] for id_ in ids]

    def describe(self) -> dict[str, Any]:
        """What was posted, and what became of it."""
        with self._lock:
            return {
                "endpoints": sorted(self._endpoints),
                "is_holding": self._is_holding,
                "held": list(self._held),
                "messages": [_describe(each) for each in self._messages.values()],
            }

    def _send(self, message: Message) -> None:
        message.owed |= set(self._endpoints)
        for endpoint in self._endpoints.values():
            self._courier.send(
                Delivery(
                    url=endpoint.url,
                    body=message.body,
                    pauses=endpoint.pauses,
                    prepare=partial(self._prepare, message, endpoint.url),
                    told=partial(self._note, message),
                )
            )

    def _prepare(self, message: Message, url: str) -> Mapping[str, str] | None:
        with self._lock:
            endpoint = self._endpoints.get(url)
            if endpoint is None or self._messages.get(message.id) is not message:
                return None
        return self._sign(message, endpoint.secret, time.time())

    def _note(self, message: Message, attempt: Attempt) -> None:
        with self._lock:
            message.attempts.append(attempt)
            if attempt.is_success:
                message.owed.discard(attempt.url)


def _refuse_unknown(ids: list[str], known: Mapping[str, Message], word: str) -> None:
    if len(set(ids)) != len(ids):
        raise ControlError("ids must be different ones.")
    for id_ in ids:
        if id_ not in known:
            raise ControlError(f"{id_} is not {word}. Possible: {', '.join(known)}.")


def _describe(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "type": message.type,
        "delivered": not message.owed,
        "attempts": [asdict(attempt) for attempt in message.attempts],
    }


class Webhooks:
    """The channels of all providers that have webhooks, and their control API."""

    def __init__(self) -> None:
        self._courier = Courier()
        self._channels: dict[str, Channel] = {}

    def channel(self, provider: str, sign: Signer) -> Channel:
        """Open the provider's channel; `sign` makes the headers of its messages."""
        self._channels[provider] = Channel(self._courier, sign)
        return self._channels[provider]

    def forget(self) -> None:
        """Forget all messages and what is on its way; endpoints stay."""
        for channel in self._channels.values():
            channel.forget()

    def wait_until_idle(self) -> None:
        """Wait for the delivery that has begun, so that nothing arrives later."""
        self._courier.wait_until_idle()

    def add_endpoint(self, data: Mapping[str, Any]) -> None:
        """Send a provider's webhooks to an address: `provider, url, secret, retry_ms`.

        Raises:
            ControlError: no such provider, no http address, or no secret.
        """
        channel = self._find(data.get("provider"))
        url, secret = _read_url(data), check_text(data.get("secret"), "secret")
        channel.add(Endpoint(url, secret, _read_pauses(data)))

    def controls(self) -> list[Route]:
        """Where webhooks go, which are held back, sent, sent again or lost."""
        endpoints = "/webhooks/endpoints"
        return [
            Route("POST", endpoints, "add_endpoint", self._add_endpoint),
            Route("DELETE", endpoints, "remove_endpoints", self._remove_endpoints),
            Route("GET", "/webhooks", "list_webhooks", self._list),
            Route("POST", "/webhooks", "steer_webhooks", self._steer),
        ]

    def _find(self, provider: Any) -> Channel:
        name = check_choice(provider, "provider", choices=self._channels)
        return self._channels[name]

    def _add_endpoint(self, request: Request) -> Reply:
        allowed = ("provider", "url", "secret", "retry_ms")
        data = read_object(request, allowed=allowed)
        self.add_endpoint(data)
        return Reply(201, self._find(data["provider"]).describe())

    def _remove_endpoints(self, request: Request) -> Reply:
        self._find(request.query.get("provider")).remove_endpoints()
        return Reply(204)

    def _list(self, request: Request) -> Reply:
        return Reply(200, self._find(request.query.get("provider")).describe())

    def _steer(self, request: Request) -> Reply:
        data = read_object(request, allowed=("provider", "action", "ids"))
        channel = self._find(data.get("provider"))
        action = check_choice(data.get("action"), "action", choices=ACTIONS)
        ids = check_texts(data["ids"], "ids") if "ids" in data else None
        if action == "hold":
            channel.hold()
        else:
            channel.send(_choose(channel, action, ids))
        return Reply(200, channel.describe())


def _choose(channel: Channel, action: str, ids: list[str] | None) -> list[Message]:
    if action == "resend":
        if ids is None:
            raise ControlError("resend wants ids, a list of texts.")
        return channel.find(ids)
    messages = channel.take_held(ids)
    match action:
        case "duplicate":
            return [message for message in messages for _ in range(2)]
        case "reorder":
            return messages[::-1]
        case "drop":
            return []
        case _:
            return messages


def _read_url(data: Mapping[str, Any]) -> str:
    url = check_text(data.get("url"), "url")
    if not re.fullmatch(r"http://[\w.-]+(:\d{1,5})?(/[!-~]*)?", url, re.ASCII):
        raise ControlError("url must be like http://127.0.0.1:8000/webhooks/stripe/.")
    return url


def _read_pauses(data: Mapping[str, Any]) -> tuple[float, ...]:
    pauses = data.get("retry_ms", RETRY_MS)
    if not isinstance(pauses, list | tuple):
        raise ControlError("retry_ms must be a list of whole numbers.")
    return tuple(
        check_number(pause, "Each of retry_ms", low=0, high=_LONGEST_PAUSE_MS) / 1000
        for pause in pauses
    )
