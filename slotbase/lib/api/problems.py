"""Errors as problem documents (RFC 9457): one shape for every route and failure."""

import json
from collections.abc import Mapping
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response

from slotbase.lib import request_id
from slotbase.lib.db import is_unavailable
from slotbase.lib.errors import DomainError, Unavailable

CONTENT_TYPE = "application/problem+json"
DOCS = "/api/docs/errors/"

log = structlog.get_logger(__name__)

# What DRF itself raises, and our code and words for it.
_FRAMEWORK_ERRORS: list[tuple[type[exceptions.APIException], str, str]] = [
    (exceptions.ParseError, "validation_error", "The body is not valid JSON"),
    (exceptions.NotAuthenticated, "token_missing", "Sign in first"),
    (exceptions.AuthenticationFailed, "token_invalid", "The token is not valid"),
    (exceptions.PermissionDenied, "permission_denied", "This is not allowed to you"),
    (exceptions.NotFound, "not_found", "There is nothing here for you"),
    (exceptions.MethodNotAllowed, "method_not_allowed", "Not a method of this address"),
    (exceptions.NotAcceptable, "not_acceptable", "Only JSON is spoken here"),
    (exceptions.UnsupportedMediaType, "unsupported_media_type", "Send JSON"),
    (exceptions.Throttled, "rate_limited", "Too many requests"),
]


def problem_body(
    *, status: int, code: str, title: str, detail: str = "", **more: Any
) -> dict[str, Any]:
    """The members of a problem document; `more` are its extensions."""
    return {
        "type": f"{DOCS}#{code}",
        "title": title,
        "status": status,
        "detail": detail or title + ".",
        "code": code,
        "retryable": more.pop("retryable", status in {429, 503}),
        "request_id": request_id.current(),
        **more,
    }


def problem_json(
    *, headers: Mapping[str, str] | None = None, **body: Any
) -> HttpResponse:
    """A problem document for code outside DRF (middleware, handlers)."""
    document = problem_body(**body)
    return HttpResponse(
        json.dumps(document),
        status=document["status"],
        content_type=CONTENT_TYPE,
        headers=dict(headers or {}),
    )


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: anything expected becomes a problem document.

    Returns None for a bug, which Django then reports and answers with 500.
    """
    if isinstance(error, DatabaseError) and is_unavailable(error):
        log.error("database_unavailable", sqlstate=_sqlstate(error))
        error = Unavailable("The database does not answer. Nothing was changed.")
    if isinstance(error, DomainError):
        return _domain_problem(error)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, exceptions.APIException):
        return _framework_problem(error, context)
    return None


def _sqlstate(error: BaseException) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)


def _domain_problem(error: DomainError) -> Response:
    body = problem_body(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        retryable=error.retryable,
        **error.extra,
    )
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return _respond(body, headers)


def _framework_problem(
    error: exceptions.APIException, context: dict[str, Any]
) -> Response:
    if isinstance(error, exceptions.ValidationError):
        code, title = "validation_error", "The request is not valid"
        more: dict[str, Any] = {"errors": _field_errors(error.detail)}
        detail = "See errors for each field."
    else:
        code, title = _code_and_title(error)
        more, detail = {}, str(error.detail)
    body = problem_body(
        status=error.status_code, code=code, title=title, detail=detail, **more
    )
    return _respond(body, _framework_headers(error, context))


def _code_and_title(error: exceptions.APIException) -> tuple[str, str]:
    for kind, code, title in _FRAMEWORK_ERRORS:
        if isinstance(error, kind):
            return code, title
    return "error", str(error.default_detail)


def _framework_headers(
    error: exceptions.APIException, context: dict[str, Any]
) -> dict[str, str]:
    headers = {}
    if isinstance(error, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, round(getattr(error, "wait", None) or 1)))
    if error.status_code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, exceptions.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return headers


def _field_errors(detail: Any) -> dict[str, Any]:
    if isinstance(detail, dict):
        return detail
    return {"non_field_errors": detail}


def _respond(body: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(
        body, status=body["status"], headers=headers, content_type=CONTENT_TYPE
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """`handler404`: an address that no route has."""
    return problem_json(
        status=404, code="not_found", title="There is nothing here for you"
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """`handler400`: a request that Django itself refuses, such as a wrong Host."""
    return problem_json(
        status=400, code="validation_error", title="The request is not valid"
    )


def server_error(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """`handler500`: a bug. The request id is what a client can tell the operator."""
    return problem_json(
        status=500,
        code="internal_error",
        title="Something is broken on our side",
        detail="Nothing you did. Please tell us the request_id.",
    )
