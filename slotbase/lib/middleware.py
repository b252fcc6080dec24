"""What every request passes: an id, a free thread, a size limit, security headers."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from slotbase.lib import request_id as ids
from slotbase.lib.api.problems import (
    INVALID,
    TOO_LARGE,
    kind_of,
    problem_json,
    refuse,
)
from slotbase.lib.errors import Unavailable
from slotbase.lib.threads import Busy, threads

Handler = Callable[[HttpRequest], HttpResponse]

ASKS_NOBODY = "/health/live"
BUSY = "Too many requests wait here at the moment."

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)


def request_id(get_response: Handler) -> Handler:
    """Give the request an id and show it in the answer."""

    def handle(request: HttpRequest) -> HttpResponse:
        request_id = ids.begin(request.headers.get("X-Request-Id", ""))
        try:
            response = get_response(request)
            response["X-Request-Id"] = request_id
            return response
        finally:
            ids.end()

    return handle


def a_free_thread(get_response: Handler) -> Handler:
    """Answer 503 at once, rather than late, when all other threads are stuck."""

    def handle(request: HttpRequest) -> HttpResponse:
        if request.path_info == ASKS_NOBODY:
            return get_response(request)
        try:
            with threads.at_work():
                return get_response(request)
        except Busy:
            return refuse(request, kind_of(Unavailable), BUSY)

    return handle


def storable_filters(get_response: Handler) -> Handler:
    """Refuse back office filters with a NUL character, which PostgreSQL cannot have.

    Django's admin would ask the database; the API refuses it by the parameter's name.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        is_admin = request.path_info.startswith("/admin/")
        if is_admin and "%00" in request.META.get("QUERY_STRING", ""):
            return refuse(request, INVALID, "The address has a NUL character.")
        return get_response(request)

    return handle


def body_limit(get_response: Handler) -> Handler:
    """Refuse a body over MAX_BODY_BYTES, or of unknown length, before it is read."""

    def handle(request: HttpRequest) -> HttpResponse:
        if "Transfer-Encoding" in request.headers:
            # Django would take the body for empty.
            return problem_json(INVALID, "Send a Content-Length, not chunks.")
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdecimal()):
            return problem_json(INVALID, "Content-Length is not a number.")
        # Python refuses to read a number of thousands of digits.
        if len(length) > 18 or int(length) > settings.MAX_BODY_BYTES:
            return problem_json(
                TOO_LARGE, f"Send at most {settings.MAX_BODY_BYTES} bytes."
            )
        return get_response(request)

    return handle


class AppendSlash(CommonMiddleware):
    """Sends `/holds` to `/holds/` with the same method: a 301 turns POST into GET."""

    class response_redirect_class(HttpResponsePermanentRedirect):  # noqa: N801 - Django's name
        status_code = 308


def content_security_policy(get_response: Handler) -> Handler:
    """Allow pages nothing but our own files: no inline script, no inline style."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response

    return handle
