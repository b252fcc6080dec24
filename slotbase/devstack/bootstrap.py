"""Makes `.venv` from the hash-pinned requirements-dev.lock.

The system's python3 runs this file before anything is installed, so it imports the
standard library only and stays readable for a Python that is too old to run the rest.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (any python3 may be told to run this file)
    sys.exit(
        "SlotBase needs Python 3.11 or newer, this is %d.%d. "  # noqa: UP031 (old too)
        "Name a newer one, for example: make run PYTHON=python3.12"
        % sys.version_info[:2]
    )

ROOT = Path(__file__).resolve().parents[2]


def ensure_environment(root: Path) -> None:
    """Make sure `root/.venv` holds what the lock file says, and return quickly if so.

    The last step writes a stamp named after the lock file's checksum; without it the
    folder is made from scratch, so a set-up that was interrupted leaves nothing behind.
    Two at once: the second waits for the first and finds its work.
    """
    if _is_current(root):
        return
    with _one_at_a_time(root):
        if not _is_current(root):
            print("Setting up .venv; this takes half a minute, once ...", flush=True)
            _make_environment(root)
            _install_packages(root)
            _stamp(root).touch()


def _stamp(root: Path) -> Path:
    checksum = hashlib.sha256((root / "requirements-dev.lock").read_bytes())
    return root / ".venv" / f"installed-{checksum.hexdigest()[:16]}"


def _is_current(root: Path) -> bool:
    # The interpreter too: the system's Python it points to may have been upgraded away.
    return _stamp(root).exists() and _python(root).exists()


def _python(root: Path) -> Path:
    return root / ".venv" / "bin" / "python"


@contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    # Beside .venv and not inside: a set-up from scratch would delete the lock it holds.
    tools = root / ".tools"
    tools.mkdir(exist_ok=True)
    with (tools / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_environment(root: Path) -> None:
    venv, tools = root / ".venv", root / ".tools"
    if not _failure(sys.executable, "-m", "venv", "--clear", venv):
        return
    # Debian without python3-venv. `--target` is allowed where a plain install is not.
    pip = (sys.executable, "-m", "pip", "install", "--target", tools)
    uv_venv = (tools / "bin" / "uv", "venv", "--clear", "--seed")
    if _failure(*pip, "uv") or _failure(*uv_venv, "-p", sys.executable, venv):
        sys.exit("Python's venv module is missing. Try: apt install python3-venv")


def _install_packages(root: Path) -> None:
    python, lock = _python(root), root / "requirements-dev.lock"
    # uv takes a quarter of pip's time, but does not read pip's configuration (mirrors).
    uv = (python.with_name("uv"), "pip", "install", "-p", python)
    if not _failure_of_uv(root) and not _failure(*uv, *_pinned(lock)):
        return
    failure = _failure(python, "-m", "pip", "install", "-q", *_pinned(lock))
    if failure:
        sys.exit(f"{failure}\nThe packages of {lock.name} could not be installed.")


def _failure_of_uv(root: Path) -> str:
    """Install uv itself, as the lock pins it."""
    lock = (root / "requirements-dev.lock").read_text()
    uv = re.search(r"^uv==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    if uv is None:
        return "The lock does not name uv."
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as only_uv:
        only_uv.write(uv[0])
        only_uv.flush()
        pip = (_python(root), "-m", "pip", "install")
        return _failure(*pip, *_pinned(Path(only_uv.name)))


def _pinned(lock: Path) -> tuple[str, str, str]:
    return ("--require-hashes", "-r", str(lock))


def _failure(*command: object) -> str:
    """What the command printed if it failed; empty if it worked.

    Most of what pip prints, a line for each package and mirror, interests nobody.
    """
    settings = {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout or "It failed without a word."


if __name__ == "__main__":
    ensure_environment(ROOT)
