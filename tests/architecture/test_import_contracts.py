"""The import contracts of pyproject.toml see what they are there to see."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT

PLANTED = {
    "1": ("recovery/models.py", "from bookings import states\n"),
    "2": ("slotbase/helpers.py", ""),
    "3": ("bookings/utils.py", ""),
    "4": ("recovery/errors.py", "from recovery import models\n"),
    "5": ("bookings/queries.py", "from rest_framework import status\n"),
    "6": ("bookings/hours.py", "import stripe\n"),
    "7": ("recovery/health.py", "from slotbase import settings\n"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The product's modules and rules, to be spoilt."""
    unneeded = shutil.ignore_patterns("__pycache__", "static", "templates")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=unneeded)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_contracts(folder: Path) -> set[str]:
    """The numbers of the contracts that lint-imports calls broken there."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )
    verdicts = re.findall(r"^(\d+)\. .* (KEPT|BROKEN)", done.stdout, re.MULTILINE)
    assert set(dict(verdicts)) == set(PLANTED), done.stdout + done.stderr
    broken = {number for number, verdict in verdicts if verdict == "BROKEN"}
    assert bool(done.returncode) == bool(broken)
    return broken


def test_the_product_keeps_every_contract(copy: Path) -> None:
    assert broken_contracts(copy) == set()


def test_every_contract_notices_a_planted_violation(copy: Path) -> None:
    for path, line in PLANTED.values():
        file = copy / path
        file.write_text(line + (file.read_text() if file.exists() else ""))

    assert broken_contracts(copy) == set(PLANTED)
