"""A whole product of one's own for a program that measures or attacks it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slotbase.devstack.run_env import read_run_env
from slotbase.devstack.state import State


@contextmanager
def own_product(prefix: str, **settings: str) -> Iterator[dict[str, str]]:
    """A product with these settings in a folder of its own; yields its run.env.

    Nothing that runs already is touched.
    """
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        env = os.environ | {"SLOTBASE_STATE_DIR": folder, "PORT": "0"} | settings
        devstack = [sys.executable, "-m", "slotbase.devstack"]
        subprocess.run([*devstack, "up"], env=env, check=True, stdout=sys.stderr)
        try:
            yield read_run_env(State(Path(folder)))
        finally:
            subprocess.run([*devstack, "clean"], env=env, check=True, stdout=sys.stderr)
