"""The JSON parser takes what RFC 8259 allows, and nothing that breaks further down."""

import json
from io import BytesIO
from typing import Any

import pytest
from rest_framework.exceptions import ParseError

from slotbase.lib.api.parsers import MAX_DEPTH, StrictJSONParser


def parse(body: bytes) -> dict[str, Any]:
    return StrictJSONParser().parse(BytesIO(body))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {
            "a": None,
            "b": True,
            "c": 1,
            "d": -1.5,
            "e": "ü🎾",
            "f": [1, [2]],
            "g": {"a": 1},
        },
        {"": "", " ": [], "a.b": {}},
        {"big": 10**30},
        {"list": [{"a": 1}, {"a": 2}]},
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_json_object_is_read_as_it_is(data: dict[str, Any], ascii_only: bool) -> None:
    assert parse(json.dumps(data, ensure_ascii=ascii_only).encode()) == data


def test_white_space_around_is_allowed() -> None:
    assert parse(b' \r\n\t{ "a" : 1 } \n') == {"a": 1}


def nested(levels: int) -> bytes:
    """An object with so many levels of brackets."""
    lists = levels - 1
    return b'{"a": ' + b"[" * lists + b"]" * lists + b"}"


def test_sixteen_levels_are_read_and_one_more_is_not() -> None:
    assert parse(nested(MAX_DEPTH))
    with pytest.raises(ParseError, match="deep"):
        parse(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("levels", [17, 100, 300, 500, 900, 990, 1000, 100_000])
def test_no_depth_breaks_it(levels: int) -> None:
    with pytest.raises(ParseError, match="deep"):
        parse(nested(levels))


def test_a_wide_body_is_no_deep_one() -> None:
    assert len(parse(b'{"a": [' + b"[]," * 50_000 + b"[]]}")["a"]) == 50_001


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\udc00": 1}', "surrogate"),
        (b'{"a": ' + b"1" * 4301 + b"}", "digits"),
    ],
)
def test_what_is_refused_is_told_in_words(body: bytes, words: str) -> None:
    with pytest.raises(ParseError, match=words):
        parse(body)


def test_a_surrogate_pair_is_a_character() -> None:
    assert parse(b'{"a": "\\ud83c\\udfbe"}') == {"a": "🎾"}
