"""Each kind of case: what it is, what staff can do about it, and which test shows it.

`@pytest.mark.case(kind, what)` says that a test opens a case of that kind, has it close
itself (`closes`), or presses one of its buttons. Of the first two `tests/conftest.py`
sees that it is true, of the last this file: the test names the button.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from recovery import cases
from recovery.admin import actions
from recovery.runbooks import list_runbooks
from tests.architecture.source import ROOT, Source, dotted, planted, read_sources

PAGE = ROOT / "docs" / "reference" / "cases.md"
Shown = tuple[str, str]


def kinds() -> dict[str, cases.Kind]:
    return {
        name: kind
        for name, kind in cases.registered().items()
        if not name.startswith("test")
    }


def as_row(kind: cases.Kind) -> str:
    """A line of the table, as the code would write it."""
    cells = [
        f"`{kind.name}`",
        kind.opened_when,
        kind.severity,
        kind.audience.replace("_", " "),
        kind.closes_itself_when or "never",
        ", ".join(f"`{name}`" for name in kind.actions) or "none of its own",
    ]
    return f"| {' | '.join(cells)} |"


def rows(page: str) -> set[str]:
    return set(re.findall(r"^\| `.*\|$", page, re.MULTILINE))


def shown_by(source: Source) -> Iterator[tuple[str, Shown]]:
    """What each test of a file shows, with the name of the test."""
    for test in source.nodes(ast.FunctionDef):
        assert isinstance(test, ast.FunctionDef)
        for mark in test.decorator_list:
            if isinstance(mark, ast.Call) and dotted(mark.func) == "pytest.mark.case":
                kind, what = (ast.literal_eval(each) for each in mark.args)
                yield test.name, (kind, what)


def names_of_buttons(source: Source, test_name: str) -> set[str]:
    """All texts in a test, but for those of its marks."""
    found: set[str] = set()
    for test in source.nodes(ast.FunctionDef):
        assert isinstance(test, ast.FunctionDef)
        if test.name == test_name:
            for part in test.body:
                found |= {
                    str(node.value)
                    for node in ast.walk(part)
                    if isinstance(node, ast.Constant)
                }
    return found


def all_shown() -> set[Shown]:
    return {shown for source in read_sources("tests") for _, shown in shown_by(source)}


def owed() -> set[Shown]:
    """What must be shown of all kinds."""
    return {
        (name, what)
        for name, kind in kinds().items()
        for what in (
            "opens",
            *(["closes"] if kind.closes_itself_when else []),
            *kind.actions,
        )
    }


def test_the_table_is_what_the_code_says() -> None:
    assert rows(PAGE.read_text()) == {as_row(kind) for kind in kinds().values()}


def test_a_row_that_differs_would_be_seen() -> None:
    page = "| kind | x |\n|---|---|\n| `a` | b |\n"

    assert rows(page) == {"| `a` | b |"}


def test_every_kind_says_all_of_it() -> None:
    for kind in kinds().values():
        assert kind.opened_when, kind.name
        assert kind.audience in {
            *("front_desk", "manager", "support", "support_lead", "operations"),
        }
        assert kind.name in list_runbooks()


@pytest.mark.parametrize("name", sorted(kinds()))
def test_the_back_office_offers_just_the_buttons_of_a_kind(name: str) -> None:
    assert sorted(actions.names_of_own(name)) == sorted(kinds()[name].actions)


@pytest.mark.parametrize("name", sorted(kinds()))
def test_a_runbook_names_each_button_by_its_label(name: str) -> None:
    text = (ROOT / "docs" / "runbooks" / f"{name.replace('_', '-')}.md").read_text()
    for button in kinds()[name].actions:
        label = actions.label_of(name, button)
        first = label.split()[0]
        assert re.search(rf"\b{first}\b", text, re.IGNORECASE), label


def test_each_kind_and_button_is_shown_by_a_test() -> None:
    assert owed() - all_shown() == set()


def test_a_mark_is_about_something_that_is_there() -> None:
    assert all_shown() - owed() == set()


def test_who_says_that_it_presses_a_button_names_it() -> None:
    for source in read_sources("tests"):
        for test_name, (kind, what) in shown_by(source):
            if what not in {"opens", "closes"}:
                named = names_of_buttons(source, test_name)
                assert what in named, f"{test_name}: {kind} {what}"


def test_a_mark_is_read_and_a_button_that_is_not_pressed_would_be_seen() -> None:
    source = planted(
        '@pytest.mark.case("a", "retry")\ndef test_it() -> None:\n    press("other")\n',
        "tests/planted.py",
    )

    assert [*shown_by(source)] == [("test_it", ("a", "retry"))]
    assert "retry" not in names_of_buttons(source, "test_it")
