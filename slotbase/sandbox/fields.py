"""Reads what the control API is told, and says what would have been right."""

import json
from collections.abc import Collection
from typing import Any

from slotbase.sandbox.exchange import Request


class ControlError(Exception):
    """The control API was told something that cannot be done; the text says why."""


def read_object(request: Request, *, allowed: Collection[str]) -> dict[str, Any]:
    """The body as a JSON object with no other than the allowed fields.

    Raises:
        ControlError: it is something else.
    """
    try:
        data = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ControlError("The body must be JSON.") from error
    return check_object(data, "The body", allowed=allowed)


def check_object(data: Any, name: str, *, allowed: Collection[str]) -> dict[str, Any]:
    """The value if it is an object with no other than the allowed fields."""
    if not isinstance(data, dict):
        raise ControlError(f"{name} must be an object with: {', '.join(allowed)}.")
    unknown = sorted(data.keys() - set(allowed))
    if unknown:
        raise ControlError(
            f"{name} has unknown fields ({', '.join(unknown)}). "
            f"Possible: {', '.join(allowed)}."
        )
    return data


def check_text(value: Any, name: str) -> str:
    """The value if it is text and not empty."""
    if not isinstance(value, str) or not value:
        raise ControlError(f"{name} must be text and not empty.")
    return value


def check_texts(value: Any, name: str) -> list[str]:
    """The value if it is a list of texts."""
    if not isinstance(value, list):
        raise ControlError(f"{name} must be a list of texts.")
    return [check_text(each, f"Each of {name}") for each in value]


def check_choice(value: Any, name: str, *, choices: Collection[str]) -> str:
    """The value if it is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ControlError(f"{name} must be one of: {', '.join(choices)}.")
    return value


def check_number(value: Any, name: str, *, low: int, high: int) -> int:
    """The value if it is a whole number from `low` to `high`."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise ControlError(f"{name} must be a whole number from {low} to {high}.")
    return int(value)
