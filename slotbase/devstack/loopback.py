"""Small HTTP requests to our own programs; proxies of the environment are ignored."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 2


def answers(url: str) -> bool:
    """Whether a GET of this address is answered with 200."""
    try:
        status, _ = _request("GET", url)
    except (OSError, HTTPException):
        return False
    return status == 200


def get_json(url: str) -> Any:
    """The JSON that this address answers.

    Raises:
        OSError: nobody answers, or not with success and JSON.
    """
    return _json("GET", url, None)


def post_json(url: str, body: Any) -> Any:
    """The JSON answered to this body; raises as `get_json` does."""
    return _json("POST", url, json.dumps(body))


def _json(method: str, url: str, body: str | None) -> Any:
    try:
        status, text = _request(method, url, body)
        if status < 300:
            return json.loads(text)
    except (HTTPException, ValueError) as error:
        raise OSError(f"{url}: {error}") from error
    raise OSError(f"{url}: status {status}")


def _request(method: str, url: str, body: str | None = None) -> tuple[int, bytes]:
    parts = urlsplit(url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, target, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
