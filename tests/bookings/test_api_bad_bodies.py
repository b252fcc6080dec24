"""Bodies that are no JSON object, too large or of another type: nothing is written."""

import json
from functools import partial
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.bookings.refusals import refused
from tests.bookings.routes import Route, post, posts

pytestmark = pytest.mark.django_db

NOT_AN_OBJECT = {
    "nothing but a brace": b"{",
    "not JSON": b"resource=1",
    "XML": b"<hold/>",
    "a list": b"[]",
    "a number": b"1",
    "a text": b'"hold"',
    "null": b"null",
    "two objects": b"{}{}",
    "trailing comma": b'{"resource": 1,}',
    "single quotes": b"{'resource': 1}",
    "NaN": b'{"resource": NaN}',
    "Infinity": b'{"resource": -Infinity}',
    "a key twice": b'{"pay": "online", "pay": "at_venue"}',
    "a key twice further down": b'{"a": [{"b": 1, "b": 1}]}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"resource": 1}'.encode("utf-16"),
    "Latin-1": '{"resource": "é"}'.encode("latin-1"),
    "a surrogate in UTF-8": b'{"resource": "\xed\xa0\x80"}',
    "a bare NUL": b'{"resource": "\x00"}',
    "a line break in a text": b'{"resource": "\n"}',
    "5000 digits": b'{"resource": ' + b"9" * 5000 + b"}",
    "17 levels": b'{"a": ' + b"[" * 17 + b"]" * 17 + b"}",
    "400 levels": b'{"a": ' * 400 + b"1" + b"}" * 400,
    "900 levels": b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}",
    "100,000 levels": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 open brackets": b"[" * 100_000,
    "a NUL further down": b'{"a": [[{"b": ["\\u0000"]}]]}',
    "a lone surrogate as a key": b'{"\\ud800": 1}',
}


@pytest.mark.parametrize("body", NOT_AN_OBJECT.values(), ids=NOT_AN_OBJECT)
def test_a_body_that_is_no_json_object_is_refused(
    api: APIClient, routes: list[Route], body: bytes
) -> None:
    for address in posts(routes):
        answer = refused(partial(post, api, address, body), 400, "validation_error")
        # What broke is told; how our parser is built is not.
        assert "Exceeds" not in answer.json()["detail"]
        assert "codec" not in answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/problem+json",
        *("json", ";;;", "/", "\xff", ""),
    ],
)
def test_a_body_of_another_type_is_refused(
    api: APIClient, routes: list[Route], content_type: str
) -> None:
    for address in posts(routes):
        send = partial(post, api, address, b'{"a": 1}', content_type=content_type)
        refused(send, 415, "unsupported_media_type")


@pytest.mark.parametrize("length", ["262145", "9" * 400, "9" * 5000])
def test_a_body_that_is_too_large_is_refused_unread(
    api: APIClient, routes: list[Route], length: str
) -> None:
    for route in routes:
        send = partial(api.generic, *route, CONTENT_LENGTH=length)
        refused(send, 413, "payload_too_large")


def test_a_body_of_the_largest_size_is_read(api: APIClient) -> None:
    body = b'{"a": "' + b"x" * (256 * 1024 - 9) + b'"}'
    assert len(body) == 256 * 1024

    refused(partial(post, api, "/api/v1/holds/", body), 400, "validation_error", "a")


@pytest.mark.parametrize(
    "length", ["-1", "1e3", "x", "\xb2", "\N{FULLWIDTH DIGIT ONE}"]
)
def test_a_length_that_is_no_number_is_refused(api: APIClient, length: str) -> None:
    send = partial(api.generic, "GET", "/api/v1/venues/", CONTENT_LENGTH=length)

    refused(send, 400, "validation_error")


def test_the_same_value_twice_under_one_key_is_refused_too(
    api: APIClient, wish: dict[str, Any]
) -> None:
    text = json.dumps(wish)[:-1] + f', "resource": {wish["resource"]}}}'

    send = partial(post, api, "/api/v1/holds/", text.encode())

    assert "twice" in refused(send, 400, "validation_error").json()["detail"]


def test_a_body_in_chunks_is_refused_and_not_taken_for_an_empty_one(
    api: APIClient, routes: list[Route]
) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    for address in posts(routes):
        answer = refused(
            partial(post, api, address, b"{}", headers=headers), 400, "validation_error"
        )
        assert "Content-Length" in answer.json()["detail"]
