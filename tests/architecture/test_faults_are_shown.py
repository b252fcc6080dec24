"""Every fault of the platform and of sign-in has its outcome, and tests that exist."""

import re

from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "reference" / "faults.md"
ROW = re.compile(r"^\| F(\d+) \|([^|]+)\|([^|]+)\|([^|]+)\|$", re.MULTILINE)
FAULTS = (71, 73, *range(83, 115))


def faults_of(page: str) -> list[str]:
    rows = {int(number): shown for number, _, _, shown in ROW.findall(page)}
    missing = [f"F{number} is missing" for number in FAULTS if number not in rows]
    unshown = [
        f"F{number}: {shown.strip()}"
        for number, shown in rows.items()
        if not _are_tests(re.findall(r"`([^`]+)`", shown))
    ]
    return missing + unshown


def _are_tests(paths: list[str]) -> bool:
    return bool(paths) and all(
        (ROOT / path).is_file() and "def test_" in (ROOT / path).read_text()
        for path in paths
    )


def test_every_fault_is_shown() -> None:
    assert faults_of(PAGE.read_text()) == []


def test_one_that_is_not_would_be_seen() -> None:
    page = PAGE.read_text().replace("tests/crashes/test_two_beats.py", "tests/x.py")

    assert len(faults_of(page)) == 1
    assert len(faults_of(page.replace("| F90 |", "| F9 |"))) == 2
