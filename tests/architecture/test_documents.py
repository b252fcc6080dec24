"""The pages that people read name things that exist, and keep their form."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, read_sources

MAX_ADR_LINES = 40
ADR_HEADINGS = ["Context", "Decision", "Consequences", "Alternatives"]
FOLDERS = (*PACKAGES, "docs", "tests", "bench", "templates")
NAMED_PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*\w\.\w+)`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
NAMED_ADR = re.compile(r"\bADR (\d{4})\b|docs/adr/(\d{4})")
# Paths of somebody's computer, and where one of them fetches packages.
PRIVATE = re.compile(r"/(home|Users|work|root)/|pypi\.org|pythonhosted|proxy\.golang")


def pages() -> list[Path]:
    """What is written for people."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted(ROOT.glob("docs/**/*.md")),
        *(ROOT / name for name in (".env.example", ".editorconfig", "LICENSE")),
    ]


def adrs() -> dict[str, Path]:
    return {path.name[:4]: path for path in sorted(ROOT.glob("docs/adr/*.md"))}


def given_twice(names: Iterable[str]) -> set[str]:
    """The numbers that more than one page has."""
    numbers = Counter(name[:4] for name in names)
    return {number for number, pages in numbers.items() if pages > 1}


def faults_of_adr(text: str) -> list[str]:
    faults = []
    if text.count("\n") > MAX_ADR_LINES:
        faults.append("too long")
    if re.findall(r"^## (.*)$", text, re.MULTILINE) != ADR_HEADINGS:
        faults.append("other headings")
    return faults


def named_adrs(text: str) -> set[str]:
    return {first or second for first, second in NAMED_ADR.findall(text)}


def dead_ends(page: Path, text: str) -> Iterator[str]:
    """Links and paths of a page that lead nowhere."""
    for link in LINK.findall(text):
        if not (page.parent / link).exists():
            yield link
    for path in NAMED_PATH.findall(text):
        if not (ROOT / path).exists():
            yield path


def test_decisions_are_numbered_without_a_gap() -> None:
    assert list(adrs()) == [f"{n:04}" for n in range(1, len(adrs()) + 1)]


def test_no_two_decisions_have_one_number() -> None:
    assert given_twice(path.name for path in ROOT.glob("docs/adr/*.md")) == set()


def test_a_number_that_is_given_twice_would_be_seen() -> None:
    assert given_twice(["0001-a.md", "0002-b.md", "0002-c.md"]) == {"0002"}


def test_every_decision_is_short_and_complete() -> None:
    faulty = {name: faults_of_adr(path.read_text()) for name, path in adrs().items()}

    assert {name: faults for name, faults in faulty.items() if faults} == {}


def test_a_decision_out_of_form_would_be_seen() -> None:
    sections = "".join(f"## {heading}\n\nText.\n\n" for heading in ADR_HEADINGS)

    assert faults_of_adr(sections) == []
    assert faults_of_adr(sections + "More.\n" * MAX_ADR_LINES) == ["too long"]
    assert faults_of_adr(sections.replace("Alternatives", "Notes")) == [
        "other headings"
    ]


def test_every_decision_that_is_named_exists() -> None:
    code = read_sources(*PACKAGES, "tests", "bench")
    texts = [source.text for source in code] + [page.read_text() for page in pages()]
    texts.append((ROOT / "pyproject.toml").read_text())

    named = set().union(*map(named_adrs, texts))
    assert "0004" in named
    assert named - set(adrs()) == set()


def test_a_decision_that_is_named_would_be_seen() -> None:
    number = "99" + "99"

    assert named_adrs(f"(ADR {number})") == {number}
    assert named_adrs(f"see docs/adr/{number}.") == {number}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text()

    assert list(dead_ends(page, text)) == []
    assert PRIVATE.findall(text) == []


def test_a_dead_end_would_be_seen() -> None:
    page = ROOT / "docs" / "quickstart.md"
    text = "[a](nowhere.md) [b](https://example.com) `bookings/nothing.py`"

    assert list(dead_ends(page, text)) == ["nowhere.md", "bookings/nothing.py"]


def test_a_private_path_would_be_seen() -> None:
    assert PRIVATE.search("cd " + "/home/" + "me")


def test_the_readme_has_two_set_up_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    (section,) = re.findall(r"^## Set up\n(.*?)^## ", readme, re.MULTILINE | re.DOTALL)

    blocks = re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    commands = [line.split("#")[0].strip() for line in "".join(blocks).splitlines()]
    assert commands == ["make run", "make test"]
