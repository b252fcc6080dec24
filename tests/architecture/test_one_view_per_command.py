"""The API has one APIView per command; serializers are plain (ADR 0011)."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.serializers import ModelSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSetMixin

from tests.architecture.source import Source, breaches, planted

COMMANDS = {"post", "put", "patch", "delete"}
WITHOUT_LOGIN = {
    "VenueListView",
    "ResourceListView",
    "ResourceView",
    "AvailabilityView",
}
# The address of oneself is changed and erased where it is read; each is one call.
ONE_ADDRESS = {"MeView"}


def api_views() -> dict[str, type[APIView]]:
    """The view of each address below /api/v1/."""
    found = {}
    for path, callback in addresses(get_resolver().url_patterns):
        if path.startswith("api/v1/"):
            found[path] = getattr(callback, "cls", callback)
    return found


def addresses(patterns: list[Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for each in patterns:
        path = f"{before}{each.pattern}"
        if isinstance(each, URLResolver):
            yield from addresses(each.url_patterns, path)
        elif isinstance(each, URLPattern):
            yield path, each.callback


def faults_of_view(view: Any) -> list[str]:
    if not isinstance(view, type) or not issubclass(view, APIView):
        return ["not an APIView"]
    faults = []
    if issubclass(view, ViewSetMixin):
        faults.append("a view set")
    commands = sorted(each for each in COMMANDS if hasattr(view, each))
    if len(commands) > 1 and view.__name__ not in ONE_ADDRESS:
        faults.append(f"several commands: {commands}")
    if AllowAny in view.permission_classes and view.__name__ not in WITHOUT_LOGIN:
        faults.append("open to everybody")
    return faults


def model_serializers(source: Source) -> Iterator[str]:
    """What would let a caller write any column, now or after the next migration."""
    for node in source.nodes(ast.Name, ast.Attribute):
        name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
        if name in {"ModelSerializer", "HyperlinkedModelSerializer", "api_view"}:
            yield source.at(node, name)


def test_every_address_has_a_view_with_one_command_at_most() -> None:
    views = api_views()

    assert "api/v1/holds/<uuid:hold_id>/confirm/" in views
    faulty = {path: faults_of_view(view) for path, view in views.items()}
    assert {path: faults for path, faults in faulty.items() if faults} == {}


class Confirm(APIView):
    def post(self) -> Response:
        return Response()


class ConfirmAndCancel(Confirm):
    def delete(self) -> Response:
        return Response()


class Bookings(ViewSetMixin, Confirm):
    """A view set."""


class Open(Confirm):
    permission_classes = (AllowAny,)


def test_a_view_with_one_command_has_no_fault() -> None:
    assert faults_of_view(Confirm) == []


@pytest.mark.parametrize("view", [ConfirmAndCancel, Bookings, Open, lambda _: None])
def test_a_view_with_a_fault_would_be_seen(view: Any) -> None:
    assert len(faults_of_view(view)) == 1


def test_no_serializer_is_made_from_a_model() -> None:
    assert breaches(model_serializers) == []


def test_a_serializer_made_from_a_model_would_be_seen() -> None:
    fault = f"class HoldInput(serializers.{ModelSerializer.__name__}): ..."

    assert [*model_serializers(planted(fault))]
