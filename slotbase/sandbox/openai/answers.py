"""What the model writes: a readable text, or whatever a model may write instead."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from slotbase.sandbox.openai.wishes import Wish

MOST = 10
FLOOD_BYTES = 2 * 1024 * 1024
_IS_MARK = re.compile(r"\s*(<[^<>]*>|[-=~`\"#]{3,}.*)\s*")


@dataclass(frozen=True)
class Written:
    """One message of the model."""

    content: str | None
    finish_reason: str = "stop"
    more: dict[str, Any] = field(default_factory=dict)


def write(wish: Wish) -> Written:
    """The notes as sentences, and what is named in them; the same again each time."""
    return _as_json(_feedback(wish))


def _feedback(wish: Wish) -> dict[str, Any]:
    notes = _words(wish)
    named = {code: name for code, name in _catalogue(wish) if name in notes.lower()}
    skills, drills = (
        [code for code in wish.choices.get(kind, []) if code in named][:MOST]
        for kind in ("skills", "drills")
    )
    sentences = [_sentence(line) for line in notes.splitlines() if line.strip()]
    text = " ".join(["Thank you for today.", *sentences])
    return {"text": text, "skills": skills, "drills": drills}


def _words(wish: Wish) -> str:
    """The notes without the lines that only mark where they begin and end."""
    lines = wish.notes.splitlines()
    return "\n".join(line for line in lines if not _IS_MARK.fullmatch(line))


def _catalogue(wish: Wish) -> list[tuple[str, str]]:
    """Each code of the enums with its name, which stands in the instructions."""
    found = []
    for code in [code for codes in wish.choices.values() for code in codes]:
        line = re.search(
            rf"(?m)^\W*{re.escape(code)}: *(.+?)(?: [-(].*|:.*)?$", wish.instructions
        )
        if line:
            found.append((code, line[1].strip().lower()))
    return found


def _sentence(line: str) -> str:
    line = line.strip()
    end = "" if line.endswith((".", "!", "?")) else "."
    return f"{line[0].upper()}{line[1:]}{end}"


def _as_json(told: dict[str, Any]) -> Written:
    return Written(json.dumps(told, ensure_ascii=False))


def _refuse(_: Wish) -> Written:
    return Written(None, more={"refusal": "I'm sorry, I can't help with that."})


def _half(wish: Wish) -> Written:
    content = write(wish).content or ""
    return Written(content[: len(content) // 2])


def _cut_off(wish: Wish) -> Written:
    return replace(_half(wish), finish_reason="length")


def _filtered(_: Wish) -> Written:
    return Written("", finish_reason="content_filter")


def _junk(_: Wish) -> Written:
    return Written("Sure! Here is your feedback:\n\n**Great session**")


def _other_form(wish: Wish) -> Written:
    told = _feedback(wish)
    return _as_json({"feedback": told["text"], "skills": "none", "drills": None})


def _unknown_codes(wish: Wish) -> Written:
    return _as_json(_feedback(wish) | {"skills": ["s999999"], "drills": ["d999999"]})


def _flood(wish: Wish) -> Written:
    return _as_json(_feedback(wish) | {"text": "x" * FLOOD_BYTES})


def _obey(wish: Wish) -> Written:
    """Do what the notes say, as a model does that takes them for its instructions."""
    notes = wish.notes
    if answer := re.search(r"\{.*\}", notes, re.DOTALL):
        return Written(answer[0])
    told: dict[str, Any] = {
        "text": notes,
        "skills": re.findall(r"\bs\d+\b", notes),
        "drills": re.findall(r"\bd\d+\b", notes),
    }
    if "action" in notes.lower() or "aktion" in notes.lower():
        told["actions"] = [{"do": notes}]
    if "tool" in notes.lower() or "werkzeug" in notes.lower():
        call = {"name": "do", "arguments": json.dumps({"what": notes})}
        calls = [{"id": "call_1", "type": "function", "function": call}]
        return replace(_as_json(told), more={"tool_calls": calls})
    return _as_json(told)


#: How the model can be told to behave, and what it writes then.
MODES: dict[str, Callable[[Wish], Written]] = {
    "refusal": _refuse,
    "length": _cut_off,
    "content_filter": _filtered,
    "junk": _junk,
    "half_json": _half,
    "wrong_schema": _other_form,
    "unknown_codes": _unknown_codes,
    "flood": _flood,
    "obeys": _obey,
}
