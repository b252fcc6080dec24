"""A charset in the Content-Type changes nothing: everything is UTF-8."""

import io
from functools import partial
from typing import Any

import pytest

from slotbase.lib import watch
from tests.concurrency.race import at_once

with pytest.MonkeyPatch.context() as alone:
    # What a web process does beside its requests would go on beside other tests.
    alone.setattr(watch, "start", lambda: None)
    from slotbase import asgi, wsgi

pytestmark = pytest.mark.django_db

CHARSETS = ["utf-8", "UTF-8", "latin-1", "utf-16", "base64", "zlib", "bz2", "rot13"]
ODD = [*CHARSETS, "idna", "undefined", "unicode_escape", "no-such", "", "\xff"]


def serve(charset: str, query: str) -> tuple[str, bytes]:
    """Status and body, in a thread with a connection of its own, as a server does."""
    [served] = at_once([partial(answer_here, charset, query)])
    assert not isinstance(served, Exception), served
    status, body = served
    return status, body


def answer_here(charset: str, query: str) -> tuple[str, bytes]:
    statuses = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/v1/venues/",
        "QUERY_STRING": query,
        "CONTENT_TYPE": f"application/json; charset={charset}",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "https",
        "HTTP_X_FORWARDED_PROTO": "https",
    }
    response = wsgi.application(
        environ, lambda status, headers: statuses.append(status)
    )
    return statuses[0], b"".join(response)


@pytest.mark.parametrize("charset", ODD)
def test_the_query_is_utf_8_whatever_the_charset_says(charset: str) -> None:
    status, body = serve(charset, "%C3%A9=1")

    assert status == "400 Bad Request"
    assert '"é":["Is not known here."]' in body.decode()


@pytest.mark.parametrize("charset", ODD)
def test_an_odd_charset_is_no_reason_to_fail(charset: str) -> None:
    status, _ = serve(charset, "page_size=1")

    assert status == "200 OK"


def test_the_asgi_application_knows_no_other_charset_either() -> None:
    request = asgi.Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"a=1",
            "headers": [(b"content-type", b"text/plain; charset=base64")],
        },
        io.BytesIO(),
    )

    assert asgi.application.request_class is asgi.Request
    assert request.GET["a"] == "1"
