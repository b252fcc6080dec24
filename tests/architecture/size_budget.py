"""The size budget: functions median <= 10 lines, p90 <= 30, cap 50; modules cap 500.

Run as a program by `make check`; exit 1 and a list when the budget is exceeded.
"""

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles

MEDIAN, P90, CAP, MODULE_CAP = 10, 30, 50, 500


def product_files() -> list[Path]:
    """Every tracked or new Python file of the product, without migrations and tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return [
        path
        for path in map(Path, listed)
        if path.exists() and "migrations" not in path.parts and path.parts[0] != "tests"
    ]


def function_lengths(path: Path) -> list[tuple[int, str]]:
    """Lines of code of each function, without its docstring and nested functions."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (code_lines(node), f"{path}:{node.lineno} {node.name}")
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the last line, less the docstring."""
    end = node.end_lineno or node.lineno
    total = end - node.lineno + 1
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def find_problems(files: list[Path]) -> list[str]:
    """What exceeds the budget, in words."""
    functions = [each for path in files for each in function_lengths(path)]
    lengths = [length for length, _ in functions]
    problems = [f"{where}: {n} lines" for n, where in functions if n > CAP]
    for path in files:
        lines = len(path.read_text().splitlines())
        if lines > MODULE_CAP:
            problems.append(f"{path}: {lines} lines")
    if median(lengths) > MEDIAN:
        problems.append(f"median function: {median(lengths)} lines")
    if quantiles(lengths, n=10)[8] > P90:
        problems.append(f"p90 of functions: {quantiles(lengths, n=10)[8]} lines")
    return problems


if __name__ == "__main__":
    found = find_problems(product_files())
    print("\n".join(found) or "The size budget holds.")
    sys.exit(bool(found))
