"""What every operation of the OpenAPI document shares. Describes, decides nothing."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import (
    APIException,
    NotAcceptable,
    Throttled,
    UnsupportedMediaType,
    ValidationError,
)

from slotbase.lib.api.inputs import StrictSerializer
from slotbase.lib.api.problems import (
    CONTENT_TYPE,
    DOCS,
    FRAMEWORK_KINDS,
    TOO_LARGE,
    Kind,
    kind_of,
)
from slotbase.lib.errors import DomainError, Unavailable

Shape = type[serializers.Serializer[Any]]
Reported = Kind | type[DomainError] | type[APIException]

# What any request may meet, one with input, and one with a body.
ANYWHERE: tuple[Reported, ...] = (NotAcceptable, Throttled, Unavailable)
WITH_INPUT: tuple[Reported, ...] = (ValidationError,)
WITH_A_BODY: tuple[Reported, ...] = (ValidationError, UnsupportedMediaType, TOO_LARGE)


class Problem(serializers.Serializer[Any]):
    """Why a request was refused (RFC 9457)."""

    type = serializers.CharField(help_text=f"An address below {DOCS}.")
    title = serializers.CharField(help_text="The same for each problem of this code.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What happened this time, for people.")
    code = serializers.CharField(help_text="For programs; it never changes.")
    retryable = serializers.BooleanField(
        help_text="Whether the same request may succeed later; see Retry-After."
    )
    request_id = serializers.CharField(help_text="What to tell the operator.")
    # DRF collects fields and leaves its own `errors` in place.
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="What is wrong with each field.",
    )


def problems(
    *reported: Reported, shapes: dict[int, Shape] | None = None
) -> dict[Any, OpenApiResponse]:
    """The refusals of an operation by status; `shapes` where one says more."""
    kinds = sorted(
        {_as_kind(each) for each in reported}, key=lambda k: (k.status, k.code)
    )
    return {
        (status, CONTENT_TYPE): OpenApiResponse(
            (shapes or {}).get(status, Problem), description=_list_codes(same)
        )
        for status, same in groupby(kinds, key=lambda kind: kind.status)
    }


def _as_kind(reported: Reported) -> Kind:
    if isinstance(reported, Kind):
        return reported
    if issubclass(reported, DomainError):
        return kind_of(reported)
    return FRAMEWORK_KINDS[reported]


def _list_codes(kinds: Iterable[Kind]) -> str:
    titles = {kind.code: kind.title for kind in kinds}
    return "\n".join(f"* `{code}`: {title}." for code, title in titles.items())


def page_of(name: str, shape: Shape) -> Shape:
    """A page of a list."""
    fields = {
        "next": _address("The next page; null at the end."),
        "previous": _address("The page before; null at the beginning."),
        "results": shape(many=True),
    }
    page = type(name, (serializers.Serializer,), fields)
    page.__doc__ = "A page, newest first."
    return page


def _address(meaning: str) -> serializers.Field[Any, Any, Any, Any]:
    return serializers.URLField(allow_null=True, help_text=meaning)


RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    int,
    OpenApiParameter.HEADER,
    response=[409, 429, 503],
    description="With `retryable`: wait so many seconds.",
)
PAGE = [
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": 10**18 - 1, "default": 25},
        description="How many; more than 100 are cut to 100.",
    ),
    OpenApiParameter(
        "cursor", str, description="Where the page begins: take `next` as it is."
    ),
]


class StrictInDocument(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Inputs that refuse what they do not know."""

    target_class = StrictSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        """The fields and no others."""
        schema: dict[str, Any] = auto_schema._map_serializer(  # noqa: SLF001 - its documented use
            self.target, direction, bypass_extensions=True
        )
        return {**schema, "additionalProperties": False}


def operation(
    name: str,
    summary: str,
    description: str,
    *,
    parameters: Iterable[Any] = (),
    request: Any = None,
    responses: dict[Any, Any],
) -> Callable[[Any], Any]:
    """One method of one address."""
    return extend_schema(
        operation_id=name,
        summary=summary,
        description=description,
        parameters=[*parameters, RETRY_AFTER],
        request=request,
        responses=responses,
    )


def answer(shape: Shape | None, words: str) -> OpenApiResponse:
    """A success."""
    return OpenApiResponse(shape, description=words)
