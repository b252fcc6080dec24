"""Reading the Idempotency-Key of a request and answering a repeated one."""

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from recovery.errors import KeyRequired
from recovery.idempotency import AlreadyAnswered, Once
from slotbase.lib.card_numbers import REFUSAL, has_card_number
from slotbase.lib.errors import ValidationFailed

HEADER = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


def read_key(request: Request, *, required: bool = False) -> Once | None:
    """The caller's key with what it was sent with; None if there is none.

    Raises:
        KeyRequired: there is none and this address needs one.
        ValidationFailed: it is too long, has other than visible ASCII
            characters, or a card number: it is kept.
    """
    key = request.headers.get(HEADER)
    if key is None:
        if required:
            raise KeyRequired(**{HEADER: "Send any text that is new for each attempt."})
        return None
    if not _KEY.match(key):
        raise ValidationFailed(**{HEADER: "Use 1 to 255 visible ASCII characters."})
    if has_card_number(key):
        raise ValidationFailed(**{HEADER: REFUSAL})
    body = json.dumps(request.data, sort_keys=True).encode()
    return Once(
        principal=str(request.user.pk),
        key=key,
        route=f"{request.method} {request.path}",
        body_hash=hashlib.sha256(body).hexdigest(),
    )


def answer_once(
    do: Callable[[], tuple[int, Any]], show: Callable[[UUID], Any]
) -> Response:
    """Run a command, or answer a repeated one with its object as it is now.

    `do` gives status and body; `show` gives the body for an object's id.
    """
    try:
        status, body = do()
    except AlreadyAnswered as again:
        response = _response(again.status, show(again.object_id))
        response["Idempotent-Replayed"] = "true"
        return response
    return _response(status, body)


def _response(status: int, body: Any) -> Response:
    """202 says where to look again."""
    headers = {"Location": body["status_url"]} if status == 202 else {}
    return Response(body, status=status, headers=headers)
