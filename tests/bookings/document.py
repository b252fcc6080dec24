"""The OpenAPI document as the tests read it."""

import json
import re
from functools import cache
from typing import Any

import yaml
from django.http import HttpResponse
from django.test import Client
from jsonschema import Draft202012Validator

_NAME = re.compile(r"<\w+:(\w+)>")


@cache
def served() -> dict[str, Any]:
    """The document as it is served."""
    document: dict[str, Any] = yaml.safe_load(Client().get("/api/schema/").content)
    return document


def operation_of(answer: Any) -> dict[str, Any] | None:
    """What the document says about the method and address of a request."""
    match = answer.wsgi_request.resolver_match
    if match is None:
        return None
    path = "/" + _NAME.sub(r"{\1}", match.route)
    found: dict[str, Any] = served()["paths"].get(path, {})
    return found.get(answer.wsgi_request.method.lower())


def documented_codes(answer: Any) -> set[str] | None:
    """The codes that the document has for this status; None for no such operation."""
    operation = operation_of(answer)
    if operation is None:
        return None
    response = operation["responses"].get(str(answer.status_code), {})
    return set(
        re.findall(r"^\* `(\w+)`", response.get("description", ""), re.MULTILINE)
    )


def check_against_document(answer: HttpResponse) -> None:
    """The answer has every field that the document promises, and no other."""
    operation = operation_of(answer)
    assert operation is not None
    response = operation["responses"][str(answer.status_code)]
    if "content" not in response:
        assert answer.content == b""
        return
    schema = response["content"][answer["Content-Type"]]["schema"]
    validator = Draft202012Validator(
        {**_closed(schema), "components": _closed(served()["components"])},
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )
    assert [e.message for e in validator.iter_errors(_read(answer))] == []


def _read(answer: Any) -> Any:
    """What it says, whether it comes whole or piece by piece."""
    return json.loads(answer.getvalue()) if answer.streaming else answer.json()


def _closed(schema: Any) -> Any:
    """The same, with nothing allowed that is not written there."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    if "properties" in schema and schema.get("type") == "object":
        closed["additionalProperties"] = False
    return closed
