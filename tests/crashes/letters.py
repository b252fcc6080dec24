"""Processors of dead letters to be killed, of which some run tasks that fail."""

from collections.abc import Mapping
from typing import Any

from recovery import dead_letters
from tests.crashes.worker import leave_effect


def _happen(task: str, _: Mapping[str, Any]) -> None:
    leave_effect(task)


def _fail(_task: str, _kwargs: Mapping[str, Any]) -> None:
    raise ValueError


def succeed() -> None:
    """What is due is done, and leaves an effect."""
    dead_letters.run_tasks_with(_happen)
    dead_letters.retry_due()


def fail() -> None:
    """What is due fails."""
    dead_letters.run_tasks_with(_fail)
    dead_letters.retry_due()
