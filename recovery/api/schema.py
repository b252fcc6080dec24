"""The Idempotency-Key in the OpenAPI document."""

from drf_spectacular.utils import OpenApiParameter

from recovery.api.idempotent import HEADER
from recovery.errors import KeyInProgress, KeyRequired, KeyReused

KEY_PROBLEMS = (KeyInProgress, KeyReused)
REQUIRED_KEY_PROBLEMS = (*KEY_PROBLEMS, KeyRequired)


def idempotency(*, required: bool) -> list[OpenApiParameter]:
    """The header of the request, and the one that marks a repeated answer."""
    return [
        OpenApiParameter(
            HEADER,
            {"type": "string", "pattern": "^[!-~]{1,255}$"},
            OpenApiParameter.HEADER,
            required=required,
            description="New for each attempt that means something new. The same "
            "request with the same key has its effect once and, for 24 hours, the same "
            "answer.",
        ),
        OpenApiParameter(
            "Idempotent-Replayed",
            {"type": "string", "enum": ["true"]},
            OpenApiParameter.HEADER,
            response=[200, 201],
            description="The effect is of an earlier request; its object as it is now.",
        ),
    ]
