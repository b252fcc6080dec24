"""PostgreSQL, embedded: one server per installation, reachable from this computer."""

import os
import shutil
import signal
import subprocess
from functools import cached_property
from pathlib import Path
from typing import Literal

from slotbase.devstack.child import Program
from slotbase.devstack.errors import StackError
from slotbase.devstack.ports import LOOPBACK, same_port_as_before
from slotbase.devstack.postgres_binaries import (
    find_programs,
    is_root,
    major_version,
    unprivileged,
)
from slotbase.devstack.postgres_home import Home
from slotbase.devstack.processes import is_anyone_in
from slotbase.devstack.state import State, write_private

Role = Literal["postgres", "slotbase_owner", "slotbase_app"]
ROLES_SQL = Path(__file__).with_name("roles.sql")
CANNOT_CONNECT = 2  # psql's exit code
SETTINGS = {
    "listen_addresses": LOOPBACK,
    # No socket file: its path is limited to 107 bytes, a checkout's is not.
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
FAST_AND_FRAGILE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class Postgres:
    """One PostgreSQL server of an installation.

    With `durable=False` it is faster and loses data when the computer stops: for tests.
    """

    def __init__(self, state_dir: Path, *, durable: bool = True) -> None:
        self._state = State(state_dir)
        self._settings = SETTINGS | ({} if durable else FAST_AND_FRAGILE)
        self._home = Home(self._state, durable=durable)
        self.data = self._home.data
        self.port = 0

    def prepare(self) -> None:
        """Make the data folder if there is none and choose the port; call it first.

        Raises:
            StackError: the data are of another major version, or there is no server.
        """
        self._home.take()
        if self.data.exists():
            self._require_same_version()
        else:
            self._create_cluster()
        self._forget_dead_server()
        self.port = same_port_as_before(self._state, "postgres")

    def url(self, role: Role, database: str = "slotbase") -> str:
        """The address of a database, with the role's password."""
        password = self._password(role)
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/{database}"

    def command(self) -> list[str]:
        """The command line of the server, in the foreground."""
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        where = ["-D", str(self.data), f"--port={self.port}"]
        return [str(self._programs / "postgres"), *where, *settings]

    def is_ready(self) -> bool:
        """Whether it takes connections; then the database and its roles are there, too.

        Raises:
            StackError: `roles.sql` does not run.
        """
        done = subprocess.run(
            [self._programs / "psql", "-X", "-q", "-f", ROLES_SQL],
            env=self._psql_environment(),
            capture_output=True,
            check=False,
        )
        if done.returncode not in {0, CANNOT_CONNECT}:
            raise StackError(f"{ROLES_SQL} failed: {done.stderr.decode()}")
        return done.returncode == 0

    def program(self) -> Program:
        """What a supervisor needs to run it."""
        return Program(
            name="postgres",
            command=self.command(),
            env=_environment(),
            is_ready=lambda _child: self.is_ready(),
            run_as=unprivileged(),
            # "Fast": end the sessions; then "immediate". Killing it comes last.
            stop_signals=(signal.SIGINT, signal.SIGQUIT),
            echo=False,
        )

    def discard(self) -> None:
        """Delete its data; it must not be running."""
        self._home.discard()

    @cached_property
    def _programs(self) -> Path:
        return find_programs()

    def _password(self, role: Role) -> str:
        return self._state.recall_secret(f"{role}_password")

    def _psql_environment(self) -> dict[str, str]:
        return _environment() | {
            "PGHOST": LOOPBACK,
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
            "PGPASSWORD": self._password("postgres"),
            "PGCONNECT_TIMEOUT": "2",
            "SLOTBASE_OWNER_PASSWORD": self._password("slotbase_owner"),
            "SLOTBASE_APP_PASSWORD": self._password("slotbase_app"),
        }

    def _create_cluster(self) -> None:
        """Run initdb beside the final place, so that half a cluster is never used."""
        half = self._home.path / "half"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        password = half / "password"
        write_private(password, self._password("postgres"))
        if is_root():
            nobody = unprivileged()
            for path in (half, password):
                os.chown(path, nobody["user"], nobody["group"])
        self._initdb(half / "data", password)
        (half / "data").rename(self.data)
        shutil.rmtree(half)

    def _initdb(self, data: Path, password: Path) -> None:
        superuser = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}"]
        # Not synced: an empty cluster that a power cut damaged is no loss.
        options = ["-D", str(data), "-E", "UTF8", "--no-sync", *self._locale()]
        done = subprocess.run(
            [self._programs / "initdb", *options, *superuser],
            env=_environment(),
            cwd="/",
            capture_output=True,
            check=False,
            **unprivileged(),
        )
        if done.returncode != 0:
            raise StackError(f"initdb failed: {done.stderr.decode()}")

    def _locale(self) -> list[str]:
        if major_version(self._programs) < 17:
            return ["--locale=C.UTF-8"]
        return ["--locale-provider=builtin", "--locale=C", "--builtin-locale=C.UTF-8"]

    def _require_same_version(self) -> None:
        found = int((self.data / "PG_VERSION").read_text())
        if found != major_version(self._programs):
            raise StackError(
                f"The data in {self.data} are of PostgreSQL {found}. "
                "`make clean` removes them."
            )

    def _forget_dead_server(self) -> None:
        """Remove the lock file of a server that was killed, if really nobody is left.

        PostgreSQL itself goes by the process number in it, and would refuse to start as
        long as that is a zombie's, or another program's since the computer started.
        """
        if not is_anyone_in(self.data):
            (self.data / "postmaster.pid").unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """The little that PostgreSQL needs; nothing of the user's PG* variables."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
