"""Reads a message as FCM does, and refuses what FCM refuses."""

import json
import re
from typing import Any

from slotbase.sandbox.exchange import Request
from slotbase.sandbox.fcm.errors import Refused, invalid

MOST_BYTES = 4096
LONGEST_COLLAPSE_ID = 64
TARGETS = ("token", "fid", "topic", "condition")
_FIELDS = {
    *TARGETS,
    *("name", "data", "notification", "android", "webpush", "apns", "fcm_options"),
}
_NOTIFICATION = {"title", "body", "image"}
_RESERVED = re.compile(r"(?i)(google|gcm)\..*|google.*|gcm.*|from|message_type")
_TTL = re.compile(r"[0-9]+(\.[0-9]{1,9})?s")

Message = dict[str, Any]


def read_message(request: Request) -> tuple[Message, bool]:
    """The message to send, and whether it is only to be looked at.

    Raises:
        Refused: it is not one that FCM would send.
    """
    data = _read_json(request)
    _require_known(data, {"message", "validate_only"}, "")
    message = _object(data, "message", "message")
    _require_known(message, _FIELDS, "message")
    _check_target(message)
    _check_data(message)
    _check_platforms(message)
    notification = _object(message, "notification", "message.notification")
    _require_known(notification, _NOTIFICATION, "message.notification")
    _check_texts(notification, "message.notification")
    payload = {"data": message.get("data", {}), "notification": notification}
    if len(json.dumps(payload, ensure_ascii=False).encode()) > MOST_BYTES:
        raise invalid("message", f"Message too big: {MOST_BYTES} bytes at most.")
    return message, bool(data.get("validate_only"))


def target_of(message: Message) -> tuple[str, str]:
    """What kind of target it is, and the target."""
    (kind,) = [name for name in TARGETS if name in message]
    return kind, message[kind]


def _read_json(request: Request) -> Message:
    try:
        data = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Refused(
            400, "INVALID_ARGUMENT", "Invalid JSON payload received."
        ) from None
    if not isinstance(data, dict):
        raise invalid("", "The body must be an object.")
    return data


def _object(data: Message, name: str, path: str) -> Message:
    value = data.get(name, {})
    if not isinstance(value, dict):
        raise invalid(path, "Must be an object.")
    return value


def _require_known(data: Message, known: set[str], path: str) -> None:
    for name in data.keys() - known:
        where = f"{path}.{name}" if path else name
        raise invalid(where, f'Invalid JSON payload received. Unknown name "{name}".')


def _check_target(message: Message) -> None:
    given = [name for name in TARGETS if name in message]
    if len(given) != 1:
        raise invalid("message", "Exactly one of token, fid, topic or condition.")
    if not isinstance(message[given[0]], str) or not message[given[0]]:
        raise invalid(
            f"message.{given[0]}",
            "The registration token is not a valid FCM registration token",
        )


def _check_data(message: Message) -> None:
    for name, value in _object(message, "data", "message.data").items():
        if not isinstance(value, str):
            raise invalid(f"message.data[{name}]", "Invalid value (TYPE_STRING).")
        if _RESERVED.fullmatch(name):
            raise invalid("message.data", f"Invalid data payload key: {name}")


def _check_platforms(message: Message) -> None:
    android = _object(message, "android", "message.android")
    ttl = android.get("ttl", "0s")
    if not isinstance(ttl, str) or not _TTL.fullmatch(ttl):
        raise invalid("message.android.ttl", "Illegal duration format.")
    if not isinstance(android.get("collapse_key", ""), str):
        raise invalid("message.android.collapse_key", "Invalid value (TYPE_STRING).")
    apns = _headers_of(message, "apns")
    if len(apns.get("apns-collapse-id", "").encode()) > LONGEST_COLLAPSE_ID:
        raise invalid("message.apns.headers", "apns-collapse-id is too long.")
    _headers_of(message, "webpush")


def _headers_of(message: Message, platform: str) -> dict[str, str]:
    path = f"message.{platform}"
    headers = _object(_object(message, platform, path), "headers", f"{path}.headers")
    _check_texts(headers, f"{path}.headers")
    return headers


def _check_texts(values: Message, path: str) -> None:
    for name, value in values.items():
        if not isinstance(value, str):
            raise invalid(f"{path}.{name}", "Invalid value (TYPE_STRING).")
