"""Errors as problem documents (RFC 9457): one shape for every route and failure."""

import json
import sys
from dataclasses import dataclass
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from rest_framework import exceptions
from rest_framework.response import Response

from slotbase.lib import request_id
from slotbase.lib.api.throttles import throttle_refused_sign_in
from slotbase.lib.db import is_unavailable, sqlstate
from slotbase.lib.errors import DomainError, InvalidState, Unavailable

CONTENT_TYPE = "application/problem+json"
# Nobody can say "nothing was changed": the answer to a COMMIT may have got lost.
DATABASE_AWAY = "The database does not answer; it may have been done or not."
# Unique and exclusion violations: an answer to whoever came second, not a bug.
TAKEN = {"23505", "23P01"}
DOCS = "/api/docs/errors/"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Kind:
    """What a code means: one status and one title, whoever reports it."""

    status: int
    code: str
    title: str
    retryable: bool = False


INVALID = Kind(400, "validation_error", "The request is not valid")
NOT_FOUND = Kind(404, "not_found", "There is nothing here for you")
NOT_ALLOWED = Kind(405, "method_not_allowed", "Not a method of this address")
TOO_LARGE = Kind(413, "payload_too_large", "The body is too large")
NOT_JSON = Kind(415, "unsupported_media_type", "Send JSON in UTF-8")
BROKEN = Kind(500, "internal_error", "Something is broken on our side")

# What DRF itself raises.
FRAMEWORK_KINDS: dict[type[exceptions.APIException], Kind] = {
    exceptions.ValidationError: INVALID,
    exceptions.ParseError: INVALID,
    exceptions.NotAuthenticated: Kind(401, "token_missing", "Sign in first"),
    exceptions.PermissionDenied: Kind(
        403, "permission_denied", "This is not allowed to you"
    ),
    exceptions.NotFound: NOT_FOUND,
    exceptions.MethodNotAllowed: NOT_ALLOWED,
    exceptions.NotAcceptable: Kind(406, "not_acceptable", "Only JSON is spoken here"),
    exceptions.UnsupportedMediaType: NOT_JSON,
    exceptions.Throttled: Kind(
        429, "rate_limited", "Too many requests", retryable=True
    ),
}


def problem_body(kind: Kind, detail: str = "", **extra: Any) -> dict[str, Any]:
    """The members of a problem document; `extra` are its extensions."""
    return {
        "type": f"{DOCS}#{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail or kind.title + ".",
        "code": kind.code,
        "retryable": kind.retryable,
        "request_id": request_id.current(),
        **extra,
    }


def problem_json(kind: Kind, detail: str = "") -> HttpResponse:
    """A problem document for code outside DRF (middleware, handlers)."""
    return HttpResponse(
        json.dumps(problem_body(kind, detail)),
        status=kind.status,
        content_type=CONTENT_TYPE,
        headers=_when_to_return(kind),
    )


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: anything expected becomes a problem document.

    Returns None for a bug, which Django then reports and answers with 500.
    """
    answer = _problem_of(_translate(error), context)
    if answer is not None and _leaves_unsigned(error, answer):
        try:
            throttle_refused_sign_in(context["request"])
        except exceptions.Throttled as too_many:
            return _problem_of(too_many, context)
    return answer


def _leaves_unsigned(error: Exception, answer: Response) -> bool:
    """Whether nobody is signed in: no token, a wrong one, or one nobody can check."""
    return answer.status_code == 401 or getattr(error, "leaves_unsigned", False)


def _translate(error: Exception) -> Exception:
    """Errors of Django and the database, as the expected ones that they are."""
    if is_unavailable(error):
        log.error("database_unavailable", sqlstate=sqlstate(error))
        return Unavailable(DATABASE_AWAY)
    if isinstance(error, IntegrityError) and sqlstate(error) in TAKEN:
        return InvalidState("Somebody else did it at the same moment.")
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    return error


def _problem_of(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, DomainError):
        return _domain_problem(error)
    if isinstance(error, exceptions.APIException):
        return _framework_problem(error, context)
    return None


def kind_of(error: DomainError | type[DomainError]) -> Kind:
    """The kind of problem that a domain error is."""
    return Kind(error.status, error.code, error.title, error.retryable)


def _domain_problem(error: DomainError) -> Response:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    return _respond(problem_body(kind_of(error), error.detail, **error.extra), headers)


def _framework_problem(
    error: exceptions.APIException, context: dict[str, Any]
) -> Response | None:
    kind = FRAMEWORK_KINDS.get(type(error))
    if kind is None:
        return None
    detail, extra = str(error.detail), {}
    if isinstance(error, exceptions.ValidationError):
        detail, extra = "See errors for each field.", {"errors": error.detail}
    headers = _framework_headers(error, context)
    return _respond(problem_body(kind, detail, **extra), headers)


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


def _respond(body: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(
        body, status=body["status"], headers=headers, content_type=CONTENT_TYPE
    )


def refuse(request: HttpRequest, kind: Kind, detail: str = "") -> HttpResponse:
    """A problem document, or a page that says the same below /admin/."""
    if not request.path_info.startswith("/admin/"):
        return problem_json(kind, detail)
    # Without request: nothing on the page may ask the database who is signed in.
    page = {"problem": problem_body(kind, detail)}
    return HttpResponse(
        render_to_string("problem.html", page),
        status=kind.status,
        headers=_when_to_return(kind),
    )


def _when_to_return(kind: Kind) -> dict[str, str]:
    again = Unavailable.retry_after if kind == kind_of(Unavailable) else None
    return {} if again is None else {"Retry-After": str(again)}


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """`handler404`: an address that no route has."""
    return refuse(request, NOT_FOUND)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """`handler400`: a request that Django itself refuses, such as a wrong Host."""
    return refuse(request, INVALID)


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500`: a bug, or a database that is away; a page for the back office.

    The request id is what a person can tell the operator.
    """
    kind, detail = BROKEN, "Nothing you did. Please tell us the request_id."
    if is_unavailable(sys.exception()):
        kind, detail = kind_of(Unavailable), DATABASE_AWAY
    return refuse(request, kind, detail)
