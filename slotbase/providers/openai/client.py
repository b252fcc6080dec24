"""Has OpenAI write feedback, and believes nothing of the answer but its form."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import BREAKER_OPEN, Outcome, ProviderError

MAX_COMPLETION_TOKENS = 1200
LONGEST_TEXT, MOST_CODES = 4000, 10
_MOST_TOKENS = 1_000_000  # of one call; a number from outside goes into the budget

breaker = Breaker("openai", failures=5, window_seconds=60, open_seconds=120)


@dataclass(frozen=True)
class Answer:
    """What the model wrote; `skills` and `drills` are codes of those it could choose.

    The text is nobody's word: plain text, to be escaped wherever it is shown.
    """

    text: str
    skills: tuple[str, ...]
    drills: tuple[str, ...]
    tokens: int

    def __repr__(self) -> str:
        return "Answer"  # what is written of a person must not stand in a log


def enhance(
    *, instructions: str, notes: str, skills: Sequence[str], drills: Sequence[str]
) -> Answer:
    """Have the notes rewritten as the instructions say. Takes half a minute at most.

    `skills` and `drills` are the codes that the model may choose from. The same call
    again is another call, and is paid again.

    Raises:
        ProviderError: there is no answer, or not one of this form; or the breaker is
            open. Its code is one of ours, never one of the provider's.
    """
    require_ready()
    wish = {
        "model": settings.OPENAI_MODEL,
        "messages": [
            {"role": "system", "content": instructions},
            {"role": "user", "content": notes},
        ],
        "response_format": _form_of(skills, drills),
        "max_completion_tokens": MAX_COMPLETION_TOKENS,
        "store": False,
    }
    with breaker:
        # The SDK takes seconds to load: who only asks `require_ready` does not wait.
        from slotbase.providers.openai import wire  # noqa: PLC0415 - see above

        return _read(wire.complete(wish), set(skills), set(drills))


def require_ready() -> None:
    """Return if OpenAI can be called now, for whoever has work to do before the call.

    Raises:
        ProviderError: the breaker is open, or there is no key or no model.
    """
    if not (settings.OPENAI_API_KEY and settings.OPENAI_MODEL):
        raise _error(Outcome.CONFIGURATION, "not_configured")
    if breaker.state == "open":
        raise _error(Outcome.NOT_EXECUTED, BREAKER_OPEN)


def _form_of(skills: Sequence[str], drills: Sequence[str]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "skills": _list_of(skills),
            "drills": _list_of(drills),
        },
        "required": ["text", "skills", "drills"],
        "additionalProperties": False,
    }
    form = {"name": "feedback", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": form}


def _list_of(codes: Sequence[str]) -> dict[str, Any]:
    if not codes:  # an enum of nothing is refused
        return {"type": "array", "items": {"type": "string"}, "maxItems": 0}
    items = {"type": "string", "enum": [*codes]}
    return {"type": "array", "items": items, "maxItems": MOST_CODES}


def _read(body: bytes, skills: set[str], drills: set[str]) -> Answer:
    """Raises ProviderError: it is refused, cut off, or anything else than asked for."""
    try:
        completion = json.loads(body)
        content = _content_of(completion)
        told = json.loads(content)
        return Answer(
            text=_text_of(told),
            skills=_codes_of(told["skills"], skills),
            drills=_codes_of(told["drills"], drills),
            tokens=_tokens_of(completion),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        # Without the error, which quotes the answer.
        raise _error(Outcome.REFUSED, "invalid_output") from None


def _content_of(completion: Mapping[str, Any]) -> str:
    (choice,) = completion["choices"]
    message, reason = choice["message"], choice["finish_reason"]
    if message.get("refusal") or reason == "content_filter":
        raise _error(Outcome.REFUSED, "refused")
    if reason == "length":
        raise _error(Outcome.REFUSED, "truncated")
    if reason != "stop" or message.get("tool_calls"):
        raise ValueError
    content: str = message["content"]
    return content


def _text_of(told: Mapping[str, Any]) -> str:
    text = told["text"]
    if told.keys() != {"text", "skills", "drills"} or not isinstance(text, str):
        raise ValueError
    text.encode()  # JSON can say half a character, which nothing can store
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise ValueError
    return text


def _codes_of(told: Any, known: set[str]) -> tuple[str, ...]:
    if (
        not isinstance(told, list)
        or len(told) > MOST_CODES
        or not known.issuperset(told)
    ):
        raise ValueError
    return tuple(told)


def _tokens_of(completion: Mapping[str, Any]) -> int:
    tokens = completion["usage"]["total_tokens"]
    if type(tokens) is not int or not 0 < tokens <= _MOST_TOKENS:
        raise ValueError
    return tokens


def _error(outcome: Outcome, code: str) -> ProviderError:
    return ProviderError(outcome, provider="openai", code=code)
