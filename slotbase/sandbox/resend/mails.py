"""Reads a mail as Resend does, and refuses what Resend refuses."""

import json
import re
from typing import Any

from slotbase.sandbox.exchange import Request
from slotbase.sandbox.resend.errors import Refused, invalid

MOST_RECIPIENTS = 50
LONGEST_KEY = 256
_REQUIRED = ("from", "to", "subject")
_ADDRESS = r"[^@\s<>,]+@[^@\s<>,.]+(\.[^@\s<>,.]+)+"
_FORMS = re.compile(rf"{_ADDRESS}|[^<>\r\n]*<{_ADDRESS}>")

_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")

Mail = dict[str, Any]


def read_mail(request: Request) -> Mail:
    """The mail to send, its recipients always a list.

    Raises:
        Refused: it is not one that Resend would send.
    """
    mail = _read_json(request)
    for name in _REQUIRED:
        if not mail.get(name):
            raise invalid(f"Missing `{name}` field.", "missing_required_field")
    if not (mail.get("html") or mail.get("text")):
        raise invalid("Missing `html` or `text` field.", "missing_required_field")
    if not _is_address(mail["from"]):
        raise invalid(
            "Invalid `from` field. The email address needs to follow the "
            "`email@example.com` or `Name <email@example.com>` format.",
            "invalid_from_address",
        )
    _check_texts(mail)
    _check_tags(mail.get("tags", []))
    _check_attachments(mail.get("attachments", []))
    return {**mail, "to": _read_recipients(mail["to"])}


def read_key(request: Request) -> str | None:
    """The request's idempotency key, if it has one.

    Raises:
        Refused: it is empty or too long.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise Refused(
            400,
            "invalid_idempotency_key",
            f"The idempotency key must be between 1-{LONGEST_KEY} chars.",
        )
    return key


def _read_json(request: Request) -> Mail:
    try:
        data = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Refused(400, "validation_error", "The body is not JSON.") from None
    if not isinstance(data, dict):
        raise invalid("The body must be an object.")
    return data


def _check_texts(mail: Mail) -> None:
    for name in ("subject", "html", "text"):
        if not isinstance(mail.get(name, ""), str):
            raise invalid(f"Invalid `{name}` field. It must be a string.")
    if re.search(r"[\r\n]", mail["subject"]):
        raise invalid(r"The `\n` is not allowed in the `subject` field.")
    headers = mail.get("headers", {})
    if not isinstance(headers, dict) or not all(
        isinstance(value, str) for value in headers.values()
    ):
        raise invalid("Invalid `headers` field.")


def _check_tags(tags: Any) -> None:
    if not isinstance(tags, list):
        raise invalid("Invalid `tags` field.")
    for tag in tags:
        parts = [tag.get("name"), tag.get("value")] if isinstance(tag, dict) else [None]
        if not all(isinstance(x, str) and _TAG.fullmatch(x) for x in parts):
            raise invalid(
                "Tags should only contain ASCII letters, numbers, underscores, or "
                "dashes."
            )


def _check_attachments(attachments: Any) -> None:
    if not isinstance(attachments, list):
        raise invalid("Invalid `attachments` field.", "invalid_attachment")
    for each in attachments:
        is_one = isinstance(each, dict) and isinstance(each.get("filename"), str)
        if not is_one or not (each.get("content") or each.get("path")):
            raise invalid(
                "Attachment must have either a `content` or `path`.",
                "invalid_attachment",
            )


def _read_recipients(to: Any) -> list[str]:
    recipients = to if isinstance(to, list) else [to]
    if len(recipients) > MOST_RECIPIENTS:
        raise invalid(f"The `to` field can have up to {MOST_RECIPIENTS} items.")
    if not all(map(_is_address, recipients)):
        raise invalid("Invalid `to` field. The email address is not valid.")
    return recipients


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and _FORMS.fullmatch(value) is not None
