"""The API explained: its OpenAPI document, a page to try it, and all error codes."""

from functools import cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from rest_framework.renderers import BaseRenderer

from slotbase.lib.api.catalogue import list_kinds

# By the type that is asked for; the first one also for whoever accepts anything.
_RENDERERS: dict[str, type[BaseRenderer]] = {
    "application/vnd.oai.openapi": OpenApiYamlRenderer,
    "application/vnd.oai.openapi+json": OpenApiJsonRenderer,
    "application/json": OpenApiJsonRenderer,
}


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI document, as YAML or JSON."""
    wanted = request.get_preferred_type([*_RENDERERS]) or next(iter(_RENDERERS))
    return HttpResponse(_render_document(wanted), content_type=wanted)


@cache
def _render_document(content_type: str) -> str | bytes:
    """The document is the same for everybody, so each process makes it once."""
    document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return _RENDERERS[content_type]().render(document, renderer_context={})


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI."""
    return render(request, "api/docs.html")


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    """What each code means: where the `type` of a problem leads."""
    return render(request, "api/errors.html", {"kinds": list_kinds()})
