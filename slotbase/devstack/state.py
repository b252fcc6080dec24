"""The private folder of one installation, and the few values it keeps there."""

import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", str, int)

CHECKOUT = Path(__file__).resolve().parents[2]
CONTENTS = (
    *("postgres", "valkey", "sandbox", "logs", "demo.json", "remembered.json"),
    *("run.env", "status.json", "processes.json", "lock"),
)


class State:
    """Where one installation keeps data, logs, ports and passwords between starts."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root.resolve()

    @property
    def logs(self) -> Path:
        """The folder with one log file per program."""
        folder = self.root / "logs"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def recall(self, name: str, make: Callable[[], T]) -> T:
        """The value remembered under this name; if there is none, one is made."""
        values = self._values()
        if name not in values:
            self.remember(name, make())
        value: T = self._values()[name]
        return value

    def remember(self, name: str, value: str | int) -> None:
        """Keep a value for the next start."""
        write_json(self._file, {**self._values(), name: value})

    def recall_secret(self, name: str) -> str:
        """A random text of 64 characters, the same at every start, safe in a URL."""
        return self.recall(name, lambda: secrets.token_urlsafe(48))

    def delete(self) -> None:
        """Delete what this package put into the folder, and the folder if that is all.

        Somebody may have named a folder that holds other things.
        """
        for name in CONTENTS:
            path = self.root / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(self.root.iterdir()):
            self.root.rmdir()

    @property
    def _file(self) -> Path:
        return self.root / "remembered.json"

    def _values(self) -> dict[str, Any]:
        return read_json(self._file) or {}


def installation() -> State:
    """The state of this checkout, or of the folder that SLOTBASE_STATE_DIR names."""
    folder = os.environ.get("SLOTBASE_STATE_DIR")
    return State(Path(folder) if folder else CHECKOUT / ".slotbase")


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can read it, and nobody half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Replace a file by this value as JSON, as `write_private` does."""
    write_private(path, json.dumps(value, indent=1))


def read_json(path: Path) -> Any:
    """What a JSON file says, or None if there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
