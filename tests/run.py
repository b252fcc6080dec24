"""Runs all tests: those without a product on all cores, then those with one, alone.

`python -m tests.run [pytest's arguments]`. A whole product beside other work would be
as slow as its customers must never see it. What those tests reach is not measured:
it runs in other processes.
"""

import subprocess
import sys

import pytest

NONE = pytest.ExitCode.NO_TESTS_COLLECTED
WITHOUT_A_PRODUCT = ("-m", "not stack", "-n", "logical", "--dist", "worksteal")
WITH_A_PRODUCT = ("-m", "stack")


def main(arguments: list[str]) -> int:
    """Both halves, whatever becomes of the first; how the worse one ended."""
    others = [each for each in arguments if not each.startswith("--cov")]
    ends = run(*WITHOUT_A_PRODUCT, *arguments), run(*WITH_A_PRODUCT, *others)
    return max((end for end in ends if end != NONE), default=NONE)


def run(*arguments: str) -> int:
    """Run pytest; its exit status, 1 if a signal ended it."""
    command = [sys.executable, "-m", "pytest", *arguments]
    status = subprocess.run(command, check=False).returncode
    return status if status >= 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
