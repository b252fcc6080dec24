"""Health for machines: /health/live touches nothing, /health/ready the database."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from recovery.health import find_unready_part


@require_safe
def live(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - Django's signature
    """200 while the process can answer at all."""
    return JsonResponse({"status": "live"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - Django's signature
    """200 if this process can serve, else 503 with the part that is missing."""
    part = find_unready_part()
    if part is None:
        return JsonResponse({"status": "ready"})
    return JsonResponse({"status": "unready", "missing": part}, status=503)
