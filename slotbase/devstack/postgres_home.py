"""The folder around PostgreSQL's data, which says whose data they are.

PostgreSQL does not run as root. Its data then belong to `nobody`, who may not enter
every checkout, so they lie in /var/tmp, in a folder that belongs to root.
"""

import hashlib
import shutil
from pathlib import Path

from slotbase.devstack.postgres_binaries import SHARED, is_root, require_roots_own
from slotbase.devstack.processes import is_anyone_in
from slotbase.devstack.state import State, read_json, write_json

THROWAWAY = "slotbase-test-"


class Home:
    """The folder that holds `data`, for one installation at a time."""

    def __init__(self, state: State, *, durable: bool) -> None:
        self._state = state
        self.path = _path(state, durable=durable)
        self.data = self.path / "data"
        self._tag = self.path / "installation.json"

    def take(self) -> None:
        """Make the folder, and empty it unless the data are this installation's.

        A new clone in the place of a deleted one must not inherit its data: it could
        not even read them, the passwords went with the old clone.

        Raises:
            StackError: somebody else made the folder.
        """
        _remove_abandoned()
        self.path.mkdir(mode=0o755, exist_ok=True)
        if is_root():
            require_roots_own(self.path)
            self.path.chmod(0o755)  # whatever the umask is
        secret = self._state.recall_secret("installation")
        tag = {"state": str(self._state.root), "installation": secret}
        if read_json(self._tag) != tag:
            shutil.rmtree(self.data, ignore_errors=True)
            write_json(self._tag, tag)

    def discard(self) -> None:
        """Delete the data; no server may run on them."""
        shutil.rmtree(self.path, ignore_errors=True)


def _path(state: State, *, durable: bool) -> Path:
    if not is_root():
        return state.root / "postgres"
    checksum = hashlib.sha256(str(state.root).encode()).hexdigest()[:16]
    return SHARED / f"{'slotbase-' if durable else THROWAWAY}{checksum}"


def _remove_abandoned() -> None:
    """Delete what tests left that were killed: their state folder is gone."""
    for home in SHARED.glob(f"{THROWAWAY}*") if is_root() else ():
        tag = read_json(home / "installation.json")
        if tag and not Path(tag["state"]).exists() and not is_anyone_in(home / "data"):
            shutil.rmtree(home, ignore_errors=True)
