"""Moves between states: each app lists the legal ones in its `states.py`."""

from collections.abc import Mapping

from slotbase.lib.errors import InvalidState


def require_move(moves: Mapping[str, frozenset[str]], current: str, to: str) -> None:
    """Refuse a move that the table does not list.

    Raises:
        InvalidState: the row is not in a state from which `to` can be reached.
    """
    if to not in moves[current]:
        raise InvalidState(f"It is {current} and cannot become {to}.")
