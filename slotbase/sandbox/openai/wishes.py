"""Reads what is asked of the model as OpenAI does, and refuses what OpenAI refuses."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slotbase.sandbox.exchange import Request
from slotbase.sandbox.openai.errors import Refused

MODELS = {"gpt-5.4-mini", "gpt-5.6-luna", "gpt-6-luna"}
_FIELDS = {
    *("model", "messages", "response_format", "max_completion_tokens", "store"),
    *("temperature", "reasoning_effort", "n", "user", "metadata"),
}
_ROLES = {"system", "developer", "user", "assistant"}


@dataclass(frozen=True)
class Wish:
    """A chat completion in a form; `choices` are the enums of its lists, by name."""

    body: dict[str, Any]
    instructions: str
    notes: str
    choices: dict[str, list[str]]


def read_wish(request: Request) -> Wish:
    """What the model is asked for.

    Raises:
        Refused: it is not a request that OpenAI would answer.
    """
    body = _read_json(request)
    for name in sorted(body.keys() - _FIELDS):
        raise _invalid(name, f"Unrecognized request argument supplied: {name}")
    model = body.get("model")
    if model not in MODELS:
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise Refused(404, message, code="model_not_found")
    most = body.get("max_completion_tokens", 1)
    if type(most) is not int or most < 1:
        raise _invalid("max_completion_tokens", "Must be a whole number above zero.")
    messages = _read_messages(body.get("messages"))
    return Wish(
        body=body,
        instructions="\n".join(text for role, text in messages if role != "user"),
        notes="\n".join(text for role, text in messages if role == "user"),
        choices=dict(_read_form(body.get("response_format"))),
    )


def _read_json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "We could not parse the JSON body of your request.")
    return body


def _read_messages(messages: Any) -> list[tuple[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "Must be a list that is not empty.")
    try:
        found = [(each["role"], each["content"]) for each in messages]
    except (TypeError, KeyError):
        raise _invalid("messages", "Each has a role and content.") from None
    for role, content in found:
        if role not in _ROLES or not isinstance(content, str):
            raise _invalid("messages", "Each has a role and a text.")
    return found


def _read_form(form: Any) -> Iterator[tuple[str, list[str]]]:
    """The enums of the lists of a form that is strict."""
    try:
        described = form["json_schema"]
        schema, properties = described["schema"], described["schema"]["properties"]
        is_named = bool(described["name"]) and form["type"] == "json_schema"
        is_strict = described["strict"] is True and schema["type"] == "object"
        is_closed = schema["additionalProperties"] is False
        is_whole = sorted(schema["required"]) == sorted(properties)
    except (TypeError, KeyError):
        raise _invalid("response_format", "Missing required parameter.") from None
    if not (is_named and is_strict and is_closed and is_whole):
        raise _invalid("response_format", "Invalid schema: it must be strict.")
    for name, each in properties.items():
        if each.get("type") == "array":
            yield name, _read_enum(each["items"])


def _read_enum(items: dict[str, Any]) -> list[str]:
    choices = items.get("enum")
    if choices == []:
        raise _invalid("response_format", "Invalid schema: an enum must not be empty.")
    return choices or []


def _invalid(param: str, message: str) -> Refused:
    return Refused(400, message, param=param)
