"""Health for machines, told without asking anybody.

/health/live touches nothing; the others tell what a thread of this process has seen.
"""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import MethodNotAllowed

from recovery import health
from recovery.vitals import Check, Health
from slotbase.lib.api.problems import FRAMEWORK_KINDS, problem_json

View = Callable[[HttpRequest], HttpResponse]


def only_read(view: View) -> View:
    """GET and HEAD; any other method is a 405 like that of the API."""

    @csrf_exempt
    @never_cache
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponse:
        if request.method in {"GET", "HEAD"}:
            return view(request)
        refusal = problem_json(FRAMEWORK_KINDS[MethodNotAllowed])
        refusal["Allow"] = "GET, HEAD"
        return refusal

    return answer


@only_read
def live(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """200 while the process can answer at all."""
    return JsonResponse({"status": "live"})


@only_read
def ready(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """200 if this process can serve, else 503 with the part that is missing."""
    part = health.find_unready_part()
    if part is None:
        return JsonResponse({"status": "ready"})
    return JsonResponse({"status": "unready", "missing": part}, status=503)


@only_read
def overview(request: HttpRequest) -> HttpResponse:
    """How each part is; with OPS_TOKEN also what was measured. 503: no database."""
    seen = health.read()
    show: Callable[[Check], Any] = _in_detail if _is_operator(request) else _in_short
    return JsonResponse(
        {
            "status": seen.status,
            "checks": {check.name: show(check) for check in seen.checks},
            "timestamp": seen.at.isoformat(),
        },
        status=503 if seen.status is Health.UNHEALTHY else 200,
    )


def _in_short(check: Check) -> str:
    return check.status


def _in_detail(check: Check) -> dict[str, Any]:
    return {
        "status": check.status,
        "detail_code": check.code or None,
        **check.details,
    }


def _is_operator(request: HttpRequest) -> bool:
    """Whether OPS_TOKEN came with it; compared so that time tells nothing about it."""
    given = request.headers.get("Authorization", "")
    wanted = f"Bearer {settings.OPS_TOKEN}"
    is_right = hmac.compare_digest(given.encode(), wanted.encode())
    return is_right and bool(settings.OPS_TOKEN)
