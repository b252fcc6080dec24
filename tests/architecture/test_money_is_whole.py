"""Money is a whole number of minor units: no float comes near it."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import Source, breaches, planted

MONEY_ROOMS = (
    *("bookings", "payments", "notifications", "recovery"),
    *("slotbase/lib/money.py", "slotbase/lib/columns.py"),
)
# They measure seconds, and know no money.
CLOCKS = ("recovery/health.py", "recovery/vitals.py", "recovery/provider_status.py")


def floats(source: Source) -> Iterator[str]:
    if source.path in CLOCKS:
        return
    for node in source.nodes(ast.Constant, ast.Name, ast.Attribute):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield source.at(node, repr(node.value))
        if isinstance(node, ast.Name) and node.id in {"float", "round"}:
            yield source.at(node, node.id)
        if isinstance(node, ast.Attribute) and node.attr == "FloatField":
            yield source.at(node, node.attr)
    for node in source.nodes(ast.BinOp, ast.AugAssign):
        if isinstance(node.op, ast.Div):  # type: ignore[attr-defined]
            yield source.at(node, "division that makes a float; use //")


def test_no_float_is_where_money_is() -> None:
    assert breaches(floats, *MONEY_ROOMS) == []


@pytest.mark.parametrize(
    "fault",
    [
        "x = 0.5",
        "x = float(y)",
        "def f(x: float) -> None: ...",
        "price = models.FloatField()",
        "half = price_minor / 2",
        "price_minor /= 2",
        "x = round(y)",
    ],
)
def test_a_float_would_be_seen(fault: str) -> None:
    assert [*floats(planted(fault))]


def test_whole_numbers_are_fine() -> None:
    assert [*floats(planted("half = price_minor // 2"))] == []
