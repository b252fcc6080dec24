"""Every kind of message is queued by some part of the product, and no other is."""

import ast
from collections.abc import Iterator
from pathlib import Path

from notifications.kinds import KINDS
from tests.architecture.source import ROOT

#: What the product does not do yet; whoever builds it queues the message and takes the
#: kind out of here.
YET_TO_COME = {"no_show_fee": "Nobody is charged for not coming."}
NEVER_QUEUES = {"kinds.py", "migrations"}


def words_in(source: str) -> set[str]:
    """All texts of a module that are whole strings, not documentation."""
    return {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def modules() -> Iterator[Path]:
    """Where messages are queued: above notifications."""
    for app in ("bookings", "payments"):
        for path in (ROOT / app).rglob("*.py"):
            if not NEVER_QUEUES & {*path.parts}:
                yield path


def queued_somewhere() -> set[str]:
    sources = [path.read_text() for path in modules()]
    asking = [source for source in sources if "queue_message(" in source]
    return set().union(*map(words_in, asking)) & {*KINDS}


def test_every_kind_is_queued_by_some_code() -> None:
    assert queued_somewhere() == KINDS.keys() - YET_TO_COME.keys()


def test_a_kind_that_nobody_queues_is_found() -> None:
    assert "no_show_fee" not in queued_somewhere()
    assert words_in('queue_message(template="receipt")') == {"receipt"}
