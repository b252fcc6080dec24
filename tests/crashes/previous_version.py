"""The code before the newest migration: what still runs while a new version comes."""

import shutil
import subprocess
import tarfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from tests.architecture.source import PACKAGES, ROOT

MIGRATIONS = ("*/migrations/0*.py", "slotbase/*/migrations/0*.py")


def put_previous_version(folder: Path) -> Path:
    """Put that code into a folder and return it.

    Without history, such as in a copy that is not a clone or a shallow one, it is the
    present code: then both sides are the same.
    """
    with suppress(subprocess.CalledProcessError, FileNotFoundError):
        newest = _git(
            *("log", "-1", "--diff-filter=A", "--format=%H", "--", *MIGRATIONS)
        )
        archive = _git("archive", f"{newest.decode().strip()}^")
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        return folder
    for name in (*PACKAGES, "templates"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "manage.py", folder)
    return folder


def _git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True)
    return done.stdout
