"""What every request passes: an id, a free thread, a size limit, security headers."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

from slotbase.lib import request_id as ids
from slotbase.lib.api.problems import (
    INVALID,
    NOT_ALLOWED,
    TOO_LARGE,
    kind_of,
    refuse,
)
from slotbase.lib.errors import Unavailable
from slotbase.lib.threads import Busy, threads

Handler = Callable[[HttpRequest], HttpResponse]

METHODS_OF_PAGES = ("GET", "HEAD", "POST")
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

#: Of every answer; a view may say something stricter of its own.
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
#: What anybody may keep: the same for everybody.
FOR_EVERYBODY = ("/static/", "/api/docs/", "/api/schema/", "/favicon.ico")


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
            return refuse(request, INVALID, "Send a Content-Length, not chunks.")
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdecimal()):
            return refuse(request, INVALID, "Content-Length is not a number.")
        # Python refuses to read a number of thousands of digits.
        if len(length) > 18 or int(length) > settings.MAX_BODY_BYTES:
            most = f"Send at most {settings.MAX_BODY_BYTES} bytes."
            return refuse(request, TOO_LARGE, most)
        return get_response(request)

    return handle


class AppendSlash(CommonMiddleware):
    """Sends `/holds` to `/holds/` with the same method: a 301 turns POST into GET."""

    class response_redirect_class(HttpResponsePermanentRedirect):  # noqa: N801 - Django's name
        status_code = 308


def security_headers(get_response: Handler) -> Handler:
    """Allow pages nothing but our own files, and nobody to keep what is private."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        for name, value in SECURITY_HEADERS.items():
            response.setdefault(name, value)
        if not request.path_info.startswith(FOR_EVERYBODY):
            response.setdefault("Cache-Control", "no-store")
        return response

    return handle


def known_methods(get_response: Handler) -> Handler:
    """Refuse methods that show a request to whoever sent it, or make a tunnel.

    And, of the back office, all but those of pages: Django's admin takes them for GET.
    The API knows the methods of each address, and names them.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        is_page = request.path_info.startswith("/admin/")
        is_ours = not request.path_info.startswith("/api/v1/")
        is_odd = is_ours and request.method in {"TRACE", "TRACK", "CONNECT"}
        if not is_odd and not (is_page and request.method not in METHODS_OF_PAGES):
            return get_response(request)
        answer = refuse(request, NOT_ALLOWED)
        answer["Allow"] = ", ".join(METHODS_OF_PAGES)
        return answer

    return handle
