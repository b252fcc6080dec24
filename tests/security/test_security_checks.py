"""Every check of the list has a row, and every test that a row names is there."""

import re

from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "reference" / "security-checks.md"
ROW = re.compile(r"^\| S(\d+) \|[^|]+\|[^|]+\|([^|]+)\|$", re.MULTILINE)
CHECKS = range(1, 41)


def faults_of(page: str) -> list[str]:
    rows = {int(number): shown for number, shown in ROW.findall(page)}
    missing = [f"S{number} is missing" for number in CHECKS if number not in rows]
    return missing + [
        f"S{number}: {fault}"
        for number, shown in rows.items()
        for fault in faults_of_row(shown)
    ]


def faults_of_row(shown: str) -> list[str]:
    tests = re.findall(r"`([^`]+)`", shown)
    faults = [f"{path} has no test" for path in tests if not is_test(path)]
    if not (tests or "reason:" in shown):
        faults.append("neither a test nor a reason")
    return faults


def is_test(path: str) -> bool:
    file = ROOT / path
    return file.is_file() and "def test_" in file.read_text()


def test_every_check_has_a_row_and_every_named_test_exists() -> None:
    assert faults_of(PAGE.read_text()) == []


def test_one_that_is_missing_would_be_seen() -> None:
    page = PAGE.read_text()

    assert len(faults_of(page.replace("| S6 |", "| S606 |"))) == 1
    assert (
        len(faults_of(page.replace("tests/lib/test_throttles.py", "tests/x.py"))) == 1
    )
    assert faults_of_row(" - ") == ["neither a test nor a reason"]
