"""Reading request bodies: JSON objects only, and nothing that breaks further down."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

# PostgreSQL stores neither NUL characters nor half of a UTF-16 surrogate pair.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")
MAX_DEPTH = 16


class StrictJSONParser(JSONParser):
    """DRF's parser, but with RFC 8259 to the letter and limits to what is accepted."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """The body as a dict.

        Raises:
            ParseError: not JSON in UTF-8, not an object, one of its keys comes twice,
                too deep, or with text that cannot be stored.
        """
        data = _decode(stream.read())
        if not isinstance(data, dict):
            raise ParseError("Send a JSON object.")
        if any(isinstance(v, str) and _UNSTORABLE.search(v) for v in _walk(data)):
            raise ParseError("The JSON has NUL or lone surrogate characters.")
        return data


def _decode(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode(),
            object_pairs_hook=_require_unique_keys,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise ParseError("The body is not UTF-8.") from error
    except RecursionError as error:
        raise ParseError("The JSON is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error}.") from error
    except ValueError as error:  # Python refuses to read such numbers
        raise ParseError("A number has too many digits.") from error


def _require_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two values counts would depend on who reads them."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ParseError("The JSON has a key twice in one object.")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not JSON.")


def _walk(data: Any) -> Iterator[Any]:
    """Every value and key; level by level, since Python limits recursion."""
    level = [data]
    for _ in range(MAX_DEPTH):
        yield from level
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    yield from level
    if any(isinstance(value, list | dict) for value in level):
        raise ParseError("The JSON is nested too deeply.")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [*value, *value.values()]
    return []
