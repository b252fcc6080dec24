"""`make security`: packages, rules of the code, and the running API under fire.

In this order, since each takes longer than the one before; all are done even if one
finds something, and the summary at the end says which.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

from security import packages
from security.fuzzing import fuzz

CASES = 2000


def static_rules(options: argparse.Namespace) -> str:  # noqa: ARG001 - as the others
    """Ruff's rules of security, over everything that is in the repository.

    Raises:
        Found: something breaks one of them.
    """
    command = [sys.executable, "-m", "ruff", "check", "--select", "S", "."]
    if subprocess.run(command, check=False).returncode:
        raise packages.Found("see above")
    return "no finding"


CHECKS: dict[str, Callable[[argparse.Namespace], str]] = {
    "packages": packages.audit,
    "rules": static_rules,
    "api": fuzz,
}


def main() -> int:
    """Check and print; the exit code."""
    parser = argparse.ArgumentParser(prog="make security", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[*CHECKS, []], help="all if none")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--cases", type=int, default=CASES, help="at least, in all")
    options = parser.parse_args()
    lines, is_clean = [], True
    for name in options.only or CHECKS:
        start = time.monotonic()
        print(f"\n== {name}", flush=True)
        try:
            outcome = f"passed: {CHECKS[name](options)}"
        except packages.Found as found:
            outcome, is_clean = f"FAILED: {found}", False
        lines.append(f"{name:<10}{outcome}  ({time.monotonic() - start:.0f} s)")
    print("\n== summary", *lines, sep="\n")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
