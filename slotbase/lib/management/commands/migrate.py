"""Django's migrate, which does not keep customers waiting.

A statement that waits for a table lets nobody else use that table meanwhile. So it
waits briefly, and a migration that did not get its turn is tried again.
"""

import time
from typing import Any

from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections

from slotbase.lib.db import LOCK_NOT_AVAILABLE, sqlstate

LOCK_TIMEOUT_SECONDS = 2
ATTEMPTS = 10
PAUSE_SECONDS = 3  # requests that waited are through by then


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate; again while others use what is to be changed.

        Each migration is one transaction, so that nothing is half done in between.
        """
        database = options.get("database", DEFAULT_DB_ALIAS)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._migrate_briefly(database, args, options)
            except OperationalError as error:
                if sqlstate(error) != LOCK_NOT_AVAILABLE or attempt == ATTEMPTS:
                    raise
                self.stderr.write("A table is in use; trying again.")
                time.sleep(PAUSE_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    def _migrate_briefly(
        self, database: str, args: tuple[Any, ...], options: dict[str, Any]
    ) -> None:
        with connections[database].cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
        try:
            super().handle(*args, **options)
        finally:
            with connections[database].cursor() as cursor:
                cursor.execute("RESET lock_timeout")
