"""`manage.py draw_states`: the MOVES tables as diagrams in docs/reference/states.md."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

Moves = Mapping[str, frozenset[str]]

HEADING = """# States

Every state column has one table of legal moves in its app's `states.py`; the pictures
below are drawn from those tables by `manage.py draw_states`, so do not edit this page.
Services move a row under its lock and along these arrows only, a CheckConstraint
refuses a state that is not in the table, and every move leaves an audit entry
([ADR 0007](../adr/0007-explicit-moves.md)).
"""


class Command(BaseCommand):
    help = "Draw the legal moves of every state column into docs/reference/states.md."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--check` writes nothing and fails if the page is not up to date."""
        parser.add_argument("--check", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002 - Django's signature
        """Write the page, or compare it.

        Raises:
            CommandError: the page differs from the tables.
        """
        page = Path(settings.BASE_DIR) / "docs" / "reference" / "states.md"
        drawn = draw_page()
        if not options["check"]:
            page.write_text(drawn)
        elif page.read_text() != drawn:
            raise CommandError("states.md is out of date: run manage.py draw_states.")


def draw_page() -> str:
    """The whole page."""
    return "\n".join([HEADING, *(draw(*each) for each in find_moves())])


def find_moves() -> Iterator[tuple[str, Moves]]:
    """`("bookings", "HOLD")` and the table of each `HOLD_MOVES` in a `states.py`."""
    for config in apps.get_app_configs():
        for name, value in _states_of(config).items():
            if name.endswith("_MOVES"):
                subject = name.removesuffix("_MOVES").replace("_", " ").capitalize()
                yield f"{subject} ({config.label})", value


def _states_of(config: AppConfig) -> dict[str, Any]:
    room = f"{config.name}.states"
    return vars(import_module(room)) if find_spec(room) else {}


def draw(title: str, moves: Moves) -> str:
    """One state machine; the first state of the table is where it begins."""
    arrows = [f"    [*] --> {next(iter(moves))}"]
    for state, ends in moves.items():
        arrows += [f"    {state} --> {end}" for end in sorted(ends)]
        arrows += [] if ends else [f"    {state} --> [*]"]
    drawing = "\n".join(["```mermaid", "stateDiagram-v2", *arrows, "```"])
    return f"## {title}\n\n{drawing}\n"
