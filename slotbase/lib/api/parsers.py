"""Reading request bodies: JSON objects only, and nothing that breaks further down."""

import re
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

# PostgreSQL stores neither NUL characters nor half of a UTF-16 surrogate pair.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


class StrictJSONParser(JSONParser):
    """DRF's parser, which also refuses other shapes and text that cannot be stored."""

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The body as a dict.

        Raises:
            ParseError: not JSON, not an object, too deep, or with unstorable text.
        """
        try:
            data = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error
        if not isinstance(data, dict):
            raise ParseError("Send a JSON object.")
        if any(_is_unstorable(item) for pair in data.items() for item in pair):
            raise ParseError("The JSON has NUL or lone surrogate characters.")
        return data


def _is_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return _UNSTORABLE.search(value) is not None
    if isinstance(value, list):
        return any(map(_is_unstorable, value))
    if isinstance(value, dict):
        return any(_is_unstorable(item) for pair in value.items() for item in pair)
    return False
