"""The product's own source as data: what the rules in this folder look at.

A rule is a function from a `Source` to the places that break it. Each is run on all of
the product, and on a `planted` fault, to show that it can fail.
"""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("slotbase", "recovery", "notifications", "payments", "bookings")


@dataclass(frozen=True)
class Source:
    """A Python file: its path below the checkout, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def is_migration(self) -> bool:
        return "/migrations/" in self.path

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"

    def line(self, node: ast.AST) -> str:
        return self.text.splitlines()[getattr(node, "lineno", 1) - 1]

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))

    def strings(self) -> Iterator[tuple[ast.AST, str]]:
        """Every text in the code that is not a docstring; `{}` for a gap in it."""
        skipped = {id(each) for each in _docstrings(self.tree)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.JoinedStr):
                skipped |= {id(part) for part in ast.walk(node) if part is not node}
                yield node, "".join(map(_text_of, node.values))
            elif id(node) not in skipped and _is_text(node):
                yield node, node.value


Rule = Callable[[Source], Iterable[str]]


@cache
def read_sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file below these folders (or named by them)."""
    return tuple(
        Source(path.relative_to(ROOT).as_posix(), path.read_text())
        for folder in folders or PACKAGES
        for path in sorted(_python_files(ROOT / folder))
    )


def planted(text: str, path: str = "bookings/services/planted.py") -> Source:
    """A file that is not there, with a fault that a rule must see."""
    return Source(path, text)


def breaches(rule: Rule, *folders: str) -> list[str]:
    """Where the product breaks the rule."""
    return [where for source in read_sources(*folders) for where in rule(source)]


def dotted(node: ast.AST) -> str:
    """`a.b.c` for the expression that says so, empty for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _python_files(folder: Path) -> Iterable[Path]:
    return [folder] if folder.suffix == ".py" else folder.rglob("*.py")


def _docstrings(tree: ast.Module) -> Iterator[ast.AST]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            yield node.body[0].value  # type: ignore[attr-defined]


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _text_of(part: ast.expr) -> str:
    return str(part.value) if _is_text(part) else "{}"
