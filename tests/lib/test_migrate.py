"""A migration that needs a table which is in use lets customers through, and waits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.commands import migrate as of_django
from django.db import OperationalError, connection

from slotbase.lib.management.commands import migrate

pytestmark = pytest.mark.django_db(transaction=True)

IN_USE = "accounts_venue"


@contextmanager
def in_use() -> Iterator[None]:
    """Somebody reads the table in a transaction that takes long."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute(f"SELECT FROM {IN_USE}")
        yield


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Migrating changes a table, as far as it can; the turns that it took."""
    taken: list[str] = []

    def change(*_: Any, **__: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            taken.append(cursor.fetchone()[0])
            cursor.execute(f"LOCK TABLE {IN_USE} IN ACCESS EXCLUSIVE MODE")

    def atomically(*_: Any, **__: Any) -> None:
        from django.db import transaction

        with transaction.atomic():
            change()

    monkeypatch.setattr(of_django.Command, "handle", atomically)
    return taken


def while_in_use(do: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is in use until the migration has waited for it once."""
    has_waited = threading.Event()
    monkeypatch.setattr(migrate.time, "sleep", lambda _: has_waited.set())
    is_used = threading.Event()

    def use() -> None:
        with in_use():
            is_used.set()
            assert has_waited.wait(30)

    thread = threading.Thread(target=use)
    thread.start()
    assert is_used.wait(10)
    do()
    thread.join()


def test_it_waits_two_seconds_and_comes_again(
    turns: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    while_in_use(lambda: call_command("migrate"), monkeypatch)

    assert set(turns) == {"2s"}
    assert len(turns) >= 2
    assert "A table is in use" in capsys.readouterr().err


def test_it_gives_up_after_its_attempts_and_leaves_nothing_set(
    turns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "ATTEMPTS", 2)
    monkeypatch.setattr(migrate.time, "sleep", lambda _: None)
    with in_use(), pytest.raises(OperationalError):
        call_command("migrate")

    assert len(turns) == 2
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_another_error_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(*_: Any, **__: Any) -> None:
        calls.append(1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1/0")

    monkeypatch.setattr(of_django.Command, "handle", fail)
    with pytest.raises(Exception, match="division"):
        call_command("migrate")

    assert calls == [1]
