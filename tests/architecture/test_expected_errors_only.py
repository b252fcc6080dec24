"""Whoever catches everything says why, or raises it again."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import PACKAGES, Source, breaches, planted

REASON = re.compile(r"# noqa: BLE001 - \w+")


def blind_excepts(source: Source) -> Iterator[str]:
    for handler in source.nodes(ast.ExceptHandler):
        assert isinstance(handler, ast.ExceptHandler)
        is_blind = handler.type is None or _catches_all(handler.type)
        ends_in_raise = isinstance(handler.body[-1], ast.Raise)
        has_reason = REASON.search(source.line(handler))
        if is_blind and not ends_in_raise and not has_reason:
            yield source.at(handler, source.line(handler).strip())


def _catches_all(kind: ast.expr) -> bool:
    names = {node.id for node in ast.walk(kind) if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def test_nothing_is_swallowed_without_a_reason() -> None:
    assert breaches(blind_excepts, *PACKAGES, "bench", "tests") == []


@pytest.mark.parametrize("kind", ["", " Exception", " (ValueError, BaseException)"])
def test_a_blind_except_would_be_seen(kind: str) -> None:
    assert [*blind_excepts(planted(f"try:\n    f()\nexcept{kind}:\n    pass\n"))]


@pytest.mark.parametrize(
    "fine",
    [
        "try:\n    f()\nexcept ValueError:\n    pass\n",
        "try:\n    f()\nexcept Exception:\n    log()\n    raise\n",
        "try:\n    f()\nexcept Exception:  # noqa: BLE001 - any bug\n    pass\n",
    ],
)
def test_an_except_with_a_reason_is_fine(fine: str) -> None:
    assert [*blind_excepts(planted(fine))] == []
