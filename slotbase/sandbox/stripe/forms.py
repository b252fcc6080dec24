"""Stripe's parameters: forms with brackets, and readers that say what is wrong."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from slotbase.sandbox.exchange import Request
from slotbase.sandbox.stripe.errors import Refused

# Makes a value of a raw one, given the parameter's name.
Reader = Callable[[str, Any], Any]

_METADATA_KEYS, _KEY_LENGTH, _VALUE_LENGTH = 50, 40, 500
_BOUNDS = ("gt", "gte", "lt", "lte")


def parse(request: Request) -> dict[str, Any]:
    """The parameters, nested: `metadata[a]=b` is `{"metadata": {"a": "b"}}`."""
    pairs = list(request.query.items())
    if request.method == "POST":
        body = request.body.decode(errors="replace")
        pairs = parse_qsl(body, keep_blank_values=True)
    nested: dict[str, Any] = {}
    for name, value in pairs:
        _put(nested, name, value)
    return nested


def _put(nested: dict[str, Any], name: str, value: str) -> None:
    first, *rest = name.split("[")
    keys = [first, *(key.removesuffix("]") for key in rest)]
    place = nested
    for key in keys[:-1]:
        below = place.get(key)
        if not isinstance(below, dict):
            below = place[key] = {}
        place = below
    # `types[]=a&types[]=b` is a list as well as `types[0]=a&types[1]=b`.
    place[keys[-1] or str(len(place))] = value


def read(
    raw: Mapping[str, Any], known: Mapping[str, Reader], required: Collection[str] = ()
) -> dict[str, Any]:
    """The parameters as values; those not given are left out.

    Raises:
        Refused: unknown, missing or misshapen.
    """
    unknown = [name for name in raw if name not in known]
    if unknown:
        s = "s" if len(unknown) > 1 else ""
        raise Refused(
            f"Received unknown parameter{s}: {', '.join(unknown)}",
            code="parameter_unknown",
            param=unknown[0],
        )
    for name in required:
        if name not in raw:
            raise missing_parameter(name)
    return {name: known[name](name, value) for name, value in raw.items()}


def missing_parameter(name: str) -> Refused:
    """A parameter that must be there is not."""
    return Refused(
        f"Missing required param: {name}.", code="parameter_missing", param=name
    )


def text(name: str, raw: Any) -> str:
    """Text that is not empty."""
    if not isinstance(raw, str):
        raise Refused(f"Invalid string: {raw}", param=name)
    if not raw:
        raise Refused(
            f"You passed an empty string for '{name}'. We assume empty values are an "
            f"attempt to unset a parameter; however '{name}' cannot be unset.",
            code="parameter_invalid_empty",
            param=name,
        )
    return raw


def choice(*choices: str) -> Reader:
    """One of these texts."""

    def read_choice(name: str, raw: Any) -> str:
        if text(name, raw) not in choices:
            raise Refused(
                f"Invalid {name}: must be one of {', '.join(choices)}", param=name
            )
        return str(raw)

    return read_choice


def integer(low: int | None = None, high: int | None = None) -> Reader:
    """A whole number from `low` to `high`."""

    def read_integer(name: str, raw: Any) -> int:
        if not re.fullmatch(r"-?\d{1,15}", text(name, raw), re.ASCII):
            raise _bad_integer(f"Invalid integer: {raw}", name)
        value = int(raw)
        if low is not None and value < low:
            raise _bad_integer(
                f"This value must be greater than or equal to {low}.", name
            )
        if high is not None and value > high:
            raise _bad_integer(
                f"This value must be less than or equal to {high}.", name
            )
        return value

    return read_integer


def _bad_integer(message: str, name: str) -> Refused:
    return Refused(message, code="parameter_invalid_integer", param=name)


def boolean(name: str, raw: Any) -> bool:
    """`true` or `false`."""
    if text(name, raw) not in {"true", "false"}:
        raise Refused(f"Invalid boolean: {raw}", param=name)
    return str(raw) == "true"


def texts(name: str, raw: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(raw, dict):
        raise Refused("Invalid array", param=name)
    return [text(f"{name}[{index}]", value) for index, value in raw.items()]


def moment(name: str, raw: Any) -> dict[str, int]:
    """When it was made, in seconds since 1970: bounds, or one instant."""
    if isinstance(raw, dict):
        return read(raw, dict.fromkeys(_BOUNDS, integer()))
    instant = integer()(name, raw)
    return {"gte": instant, "lte": instant}


def metadata(name: str, raw: Any) -> dict[str, str]:
    """Texts by name, within Stripe's limits; an empty value unsets its key."""
    if not isinstance(raw, dict) or not all(isinstance(v, str) for v in raw.values()):
        raise Refused("Invalid hash", param=name)
    if len(raw) > _METADATA_KEYS:
        raise Refused(f"Metadata can have up to {_METADATA_KEYS} keys.", param=name)
    for key, value in raw.items():
        _check_length("keys", key, _KEY_LENGTH, name)
        _check_length("values", value, _VALUE_LENGTH, f"{name}[{key}]")
    return raw


def set_metadata(given: Mapping[str, str]) -> dict[str, str]:
    """What remains of metadata when empty values have unset their keys."""
    return {key: value for key, value in given.items() if value}


def _check_length(what: str, value: str, most: int, param: str) -> None:
    if len(value) > most:
        raise Refused(
            f"Metadata {what} can have up to {most} characters, but you passed in a "
            f"value that is {len(value)} characters.",
            param=param,
        )
