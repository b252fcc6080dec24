"""A model of OpenAI that ends, or is missing, is told before notes fail."""

import inspect
import re
from typing import Any

import pytest
from openai.resources.chat.completions import Completions

from slotbase.lib.checks import warn_of_the_model
from slotbase.lib.models_that_end import ENDS
from tests.lib.test_unsafe_settings import start

KEY = {"OPENAI_API_KEY": "sk-leads-nowhere-at-all"}


def ends_of_the_sdk() -> dict[str, str]:
    told = " ".join(inspect.getsource(Completions).split())
    places = re.findall(r'- ("[^:]*): Announced shutdown date: ([\d-]{10})', told)
    return {
        name: day for names, day in places for name in re.findall(r'"([^"]+)"', names)
    }


def test_the_list_is_that_of_the_sdk() -> None:
    """After an update of it: what is new there belongs into the list."""
    assert len(ends_of_the_sdk()) > 50
    assert ends_of_the_sdk() == ENDS


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("gpt-4-turbo-preview", "OpenAI ends gpt-4-turbo-preview on 2026-03-26"),
        ("gpt-5-mini", "OpenAI ends gpt-5-mini on 2026-12-11"),
        ("gpt-4o-mini", "on 2027-01-14"),
        ("gpt-5.4-nano", "on 2027-04-01"),
        ("", "OPENAI_MODEL is not"),
    ],
)
def test_a_model_that_ends_or_is_missing_is_told(
    settings: Any, model: str, says: str
) -> None:
    settings.OPENAI_MODEL = model

    (warning,) = warn_of_the_model()

    assert warning.id == "slotbase.W002"
    assert says in warning.msg


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "gpt-5.6-luna", "of-tomorrow"])
def test_a_model_that_stays_is_not_told_of(settings: Any, model: str) -> None:
    settings.OPENAI_MODEL = model

    assert warn_of_the_model() == []


@pytest.mark.parametrize("over", [{"AI_ENABLED": False}, {"OPENAI_API_KEY": ""}])
def test_who_sends_no_notes_is_told_of_no_model(
    settings: Any, over: dict[str, Any]
) -> None:
    settings.OPENAI_MODEL = "gpt-4-turbo-preview"
    assert warn_of_the_model()
    for name, value in over.items():
        setattr(settings, name, value)

    assert warn_of_the_model() == []


def test_a_check_and_the_log_of_each_start_tell_it() -> None:
    ending = start(**KEY, OPENAI_MODEL="gpt-5-mini")
    staying = start(**KEY, OPENAI_MODEL="gpt-5.4-mini")

    assert ending.returncode == staying.returncode == 0
    assert "(slotbase.W002) OPENAI_MODEL: OpenAI ends gpt-5-mini" in ending.stderr
    assert '"event": "model_of_openai"' in ending.stderr
    assert "W002" not in staying.stderr
    assert "model_of_openai" not in staying.stderr
    assert KEY["OPENAI_API_KEY"] not in ending.stderr
