"""What `make security` makes of what its tools say, and what they are let look at."""

import argparse
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from security import fuzzing, packages
from security.packages import Found, audit, judge
from slotbase.lib.checks import RANGES
from tests.architecture.source import ROOT

OPTIONS = argparse.Namespace(seed=1, cases=2000)
CLEAN = {"name": "django", "version": "5.2", "vulns": []}
FLAWED = {
    "name": "old",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}],
}
SKIPPED = {"name": "private", "skip_reason": "Dependency not found"}


def say(monkeypatch: pytest.MonkeyPatch, *told: dict[str, Any]) -> None:
    """Let pip-audit say this of each lock."""
    monkeypatch.setattr(packages, "_ask", lambda _: [*told])
    monkeypatch.delenv(packages.OFFLINE, raising=False)


# --- Packages -----------------------------------------------------------------


def test_packages_of_which_nothing_is_known_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S34."""
    say(monkeypatch, CLEAN)

    assert audit(OPTIONS) == "1 packages, nothing known"


def test_a_known_flaw_fails_with_what_fixes_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """S34, also where not looking is allowed."""
    say(monkeypatch, CLEAN, FLAWED, SKIPPED)
    monkeypatch.setenv(packages.OFFLINE, "1")

    with pytest.raises(Found, match="1 known"):
        audit(OPTIONS)

    assert "old 1.0: PYSEC-1, fixed in 1.1" in capsys.readouterr().out


@pytest.mark.parametrize("told", [[], [SKIPPED], [CLEAN, SKIPPED]])
def test_packages_that_nobody_could_be_asked_about_are_no_pass(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """S34: pip-audit itself says `No known vulnerabilities` then, and exits with 0."""
    say(monkeypatch, *told)

    with pytest.raises(Found, match="NOT AUDITED"):
        audit(OPTIONS)

    monkeypatch.setenv(packages.OFFLINE, "1")
    assert audit(OPTIONS).startswith("NOT AUDITED")


def test_a_package_of_both_locks_is_counted_once() -> None:
    assert judge([CLEAN, CLEAN]).count == 1


@pytest.mark.parametrize("lock", packages.LOCKS)
def test_every_package_of_a_lock_has_a_version_and_hashes(lock: str) -> None:
    """S34: what is installed is what was looked at."""
    requirements = re.split(
        r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE
    )[1:]

    assert len(requirements) > 40
    for each in requirements:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", each), each[:80]
        assert "--hash=sha256:" in each, each[:80]


# --- Rules --------------------------------------------------------------------


def exceptions_without_reason(text: str) -> list[str]:
    """Lines that switch a rule of security off and do not say why.

    What an assertion says is its reason.
    """
    return [
        line.strip()
        for line in text.splitlines()
        if re.search(r"# noqa:[A-Z0-9, ]*\bS\d", line)
        and not re.search(r"# noqa: [A-Z0-9, ]+ (- |\()\S", line)
        and not re.search(r"assert .*, f?\"", line)
    ]


def python_files() -> list[Path]:
    folders = [each for each in ROOT.iterdir() if each.is_dir()]
    return [
        path
        for folder in folders
        if not folder.name.startswith(".")
        for path in folder.rglob("*.py")
    ]


def test_every_exception_from_a_rule_says_why() -> None:
    """S35."""
    found = {
        str(path): lines
        for path in python_files()
        if (lines := exceptions_without_reason(path.read_text()))
    }

    assert found == {}


def test_one_without_a_reason_would_be_seen() -> None:
    rule = "# noqa:" + " S101"

    assert exceptions_without_reason(f"assert x  {rule}")
    assert not exceptions_without_reason(f"assert x  {rule} - a constraint")
    assert not exceptions_without_reason(f'assert x, "a constraint"  {rule}')


def test_no_folder_is_let_off_all_rules_of_security() -> None:
    """S35: exceptions are named one by one."""
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]

    assert "S" in rules["select"]
    assert not [each for each in rules["ignore"] if each.startswith("S")]
    for folder, ignored in rules["per-file-ignores"].items():
        assert not {"S", "S1", "S3", "S6"} & set(ignored), folder


# --- The API ------------------------------------------------------------------


def report(**over: Any) -> dict[str, Any]:
    """What Schemathesis reports of a run."""
    cases = {"generated": 1500, "unique_failures": 0, "errored": 0}
    return {"complete": True, "test_cases": {**cases, **over}}


def test_a_run_without_findings_passes_with_its_numbers() -> None:
    """S36."""
    told = fuzzing.judge([report(), report()], [], OPTIONS)

    assert told == "3000 cases, 0 findings, seed 1, no invariant broken"


@pytest.mark.parametrize(
    ("runs", "broken"),
    [
        ([report(unique_failures=1), report()], []),
        ([report(), report(errored=1)], []),
        ([report(), {**report(), "complete": False}], []),
        ([report(generated=400), report()], []),
        ([report(), report()], ["invariant broken: I2"]),
        ([report(), report()], ["never done: DELETE /api/v1/me/"]),
    ],
    ids=["a finding", "an error", "cut short", "too few", "an invariant", "never done"],
)
def test_a_run_with_anything_wrong_fails(
    runs: list[dict[str, Any]], broken: list[str]
) -> None:
    """S36."""
    with pytest.raises(Found):
        fuzzing.judge(runs, broken, OPTIONS)


def test_what_was_never_answered_well_is_named() -> None:
    """S36: an operation that is always refused was not tried behind the door."""
    me = {"get": {}, "delete": {}, "parameters": []}
    schema = {"paths": {"/me/": me, "/venues/": {"get": {}}}}
    done = ["GET /me/", "GET /venues/", "POST /elsewhere/"]

    wrong = fuzzing.not_among(schema, done)

    assert wrong == ["never done: DELETE /me/"]
    with pytest.raises(Found, match="never done: DELETE /me/"):
        fuzzing.judge([report(), report()], wrong, OPTIONS)
    assert fuzzing.not_among(schema, [*done, "DELETE /me/"]) == []


def test_no_limit_of_requests_is_what_is_tried() -> None:
    """S36: a limit that is left would hide what is behind it."""
    limits = {each for each in RANGES if each.startswith("THROTTLE_")}

    assert limits - {*fuzzing.PLENTY} == {"THROTTLE_WEBHOOKS_PER_MINUTE"}


def test_no_check_and_no_operation_is_left_out() -> None:
    """S36: an exclusion would make it green, and blind."""
    source = (ROOT / "security" / "fuzzing.py").read_text()

    assert '"--checks", "all"' in source
    assert "examples,coverage,fuzzing,stateful" in source
    assert "exclude" not in source
    assert "enabled" not in source
