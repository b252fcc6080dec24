"""Known vulnerabilities of the packages in both lock files, by pip-audit."""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

LOCKS = ("requirements.lock", "requirements-dev.lock")
OFFLINE = "PIP_AUDIT_OFFLINE"
# Nothing is resolved or installed: the locks name every package, with its hashes.
AUDIT = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")


class Found(Exception):
    """A check found something, or could not look: the message says what."""


@dataclass(frozen=True)
class Audited:
    """What became of the packages of the locks."""

    known: list[str]  # with a vulnerability that is known
    unknown: list[str]  # that nobody could be asked about
    count: int


def audit(options: argparse.Namespace) -> str:  # noqa: ARG001 - as the others
    """Ask the advisory service about every package of the locks.

    Raises:
        Found: something is known; or nobody could be asked, unless that is allowed.
    """
    result = [each for lock in LOCKS for each in _ask(lock)]
    audited = judge(result)
    for line in audited.known:
        print(line)
    if audited.known:
        raise Found(f"{len(audited.known)} known vulnerabilities")
    if not audited.count or audited.unknown:
        return _not_asked(audited)
    return f"{audited.count} packages, nothing known"


def judge(packages: list[dict[str, Any]]) -> Audited:
    """Read what pip-audit says: a package that it skipped was not looked at."""
    return Audited(
        known=sorted(
            {
                f"{each['name']} {each['version']}: {flaw['id']}, fixed in "
                f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
                for each in packages
                for flaw in each.get("vulns", [])
            }
        ),
        unknown=sorted({each["name"] for each in packages if "skip_reason" in each}),
        count=len({each["name"] for each in packages}),
    )


def _not_asked(audited: Audited) -> str:
    words = (
        f"NOT AUDITED: the advisory service did not answer for "
        f"{len(audited.unknown) or 'all'} of {audited.count or 'the'} packages"
    )
    if os.environ.get(OFFLINE) == "1":
        return f"{words} ({OFFLINE}=1)"
    raise Found(f"{words}; {OFFLINE}=1 allows that")


def _ask(lock: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "pip_audit", *AUDIT, "--requirement", lock]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        # Without the trace, which may name the address of a registry.
        print(f"pip-audit of {lock} ended with {done.returncode} and said nothing.")
        return []
    dependencies: list[dict[str, Any]] = answer["dependencies"]
    return dependencies
