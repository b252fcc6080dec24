"""A backup of the tests' database, which is put back as an operator would."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
from django.db import connections
from psycopg import sql

NAME = "slotbase_backup"


class Backup:
    """A copy of all rows as they were when it was taken."""

    def __init__(self, database: str) -> None:
        self._database, self._aside = database, f"{database}_aside"
        self._run("CREATE DATABASE {} TEMPLATE {}", NAME, database)

    def put_back(self) -> None:
        """From now on it is as it was then; nobody is told."""
        self._run("ALTER DATABASE {} RENAME TO {}", self._database, self._aside)
        self._run("ALTER DATABASE {} RENAME TO {}", NAME, self._database)

    def discard(self) -> None:
        """The tests have the database again that was made for them."""
        if self._exists(self._aside):
            self._run("DROP DATABASE {}", self._database)
            self._run("ALTER DATABASE {} RENAME TO {}", self._aside, self._database)
        else:
            self._run("DROP DATABASE {}", NAME)

    def _run(self, statement: str, *names: str) -> None:
        connections.close_all()
        quoted = [sql.Identifier(name) for name in names]
        with _connect() as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = ANY(%s)",
                [[*names]],
            )
            server.execute(sql.SQL(statement).format(*quoted))

    @staticmethod
    def _exists(name: str) -> bool:
        with _connect() as server:
            found = server.execute("SELECT FROM pg_database WHERE datname = %s", [name])
            return found.fetchone() is not None


def _connect() -> psycopg.Connection:
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path="/postgres")
    return psycopg.connect(address.geturl(), autocommit=True)


@contextmanager
def backup_of(database: str) -> Iterator[Backup]:
    """A backup that is gone after the block, and what was put back with it."""
    backup = Backup(database)
    try:
        yield backup
    finally:
        backup.discard()
