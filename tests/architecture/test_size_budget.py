"""The size budget holds, and would notice what exceeds it."""

from pathlib import Path

import pytest

from tests.architecture.size_budget import CAP, MODULE_CAP, find_problems, product_files


def function_of(lines: int) -> str:
    """Python text of a function that is so many lines long."""
    return "def planted():\n" + "    x = 1\n" * (lines - 1)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return tmp_path / "planted.py"


def test_the_product_keeps_its_budget() -> None:
    files = product_files()

    assert Path("bookings/locks.py") in files
    assert find_problems(files) == []


def test_a_function_of_one_line_too_many_would_be_seen(module: Path) -> None:
    small = "def small(): ...\n" * 20
    module.write_text(small + function_of(CAP))
    assert find_problems([module]) == []

    module.write_text(small + function_of(CAP + 1))

    assert find_problems([module]) == [f"{module}:21 planted: {CAP + 1} lines"]


def test_a_docstring_does_not_count(module: Path) -> None:
    text = function_of(CAP).replace(":\n", ':\n    """One.\n\n    Two.\n    """\n', 1)
    module.write_text("def small(): ...\n" * 20 + text)

    assert find_problems([module]) == []


def test_a_module_of_one_line_too_many_would_be_seen(module: Path) -> None:
    functions = "def small(): ...\n" * 3
    module.write_text(functions + "x = 1\n" * (MODULE_CAP - 2))

    assert find_problems([module]) == [f"{module}: {MODULE_CAP + 1} lines"]


def test_many_long_functions_would_be_seen(module: Path) -> None:
    module.write_text(function_of(31) * 10)

    assert find_problems([module]) == [
        "median function: 31.0 lines",
        "p90 of functions: 31.0 lines",
    ]
