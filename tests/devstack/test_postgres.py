"""The embedded PostgreSQL: its roles, its crashes, and whose data it serves."""

import os
import signal
import sys

import psycopg
import pytest

from slotbase.devstack.clock import move_clock
from slotbase.devstack.errors import StackError
from slotbase.devstack.postgres import Postgres
from slotbase.devstack.supervisor import running
from tests.devstack.tiny import tick_until

NOW = "CREATE OR REPLACE FUNCTION slotbase_now() RETURNS timestamptz LANGUAGE sql AS "


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("postgres")


@pytest.fixture(scope="module")
def postgres(folder):
    postgres = Postgres(folder, durable=False)
    postgres.prepare()
    yield postgres
    postgres.discard()


@pytest.fixture(scope="module")
def supervisor(postgres, folder):
    with running([postgres.program()], folder) as supervisor:
        yield supervisor


@pytest.fixture
def owner(postgres, supervisor):
    with psycopg.connect(postgres.url("slotbase_owner")) as connection:
        yield connection


@pytest.fixture
def app(postgres, supervisor):
    with psycopg.connect(postgres.url("slotbase_app")) as connection:
        yield connection


def ask(connection, question):
    return connection.execute(question).fetchone()[0]


@pytest.mark.parametrize("what", ["TABLE", "TEMPORARY TABLE", "VIEW"])
def test_the_product_itself_makes_no_tables(app, what):
    definition = "AS SELECT 1" if what == "VIEW" else "(id int)"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(f"CREATE {what} forbidden {definition}")


def test_the_product_does_not_wait_for_ever(app):
    assert ask(app, "SHOW lock_timeout") == "3s"
    assert ask(app, "SHOW statement_timeout") == "5s"
    assert ask(app, "SHOW idle_in_transaction_session_timeout") == "15s"


def test_the_owner_may_wait_and_make_tables_that_the_product_fills(owner, app):
    assert ask(owner, "SHOW lock_timeout") == "0"
    owner.execute("CREATE TABLE filled (id bigserial PRIMARY KEY, note text)")
    owner.commit()

    app.execute("INSERT INTO filled (note) VALUES ('a')")
    app.execute("UPDATE filled SET note = 'b'")
    app.execute("DELETE FROM filled")
    for forbidden in (
        "TRUNCATE filled",
        "DROP TABLE filled",
        "ALTER TABLE filled ADD x int",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), app.transaction():
            app.execute(forbidden)


def test_the_product_may_fill_tables_of_a_new_test_database_too(postgres, supervisor):
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE test_slotbase OWNER slotbase_owner")
    with psycopg.connect(postgres.url("slotbase_owner", "test_slotbase")) as owner:
        owner.execute("CREATE TABLE filled (id bigserial PRIMARY KEY)")
    with psycopg.connect(postgres.url("slotbase_app", "test_slotbase")) as app:
        app.execute("INSERT INTO filled DEFAULT VALUES")


def test_times_are_utc_and_text_is_unicode(app):
    assert ask(app, "SHOW timezone") == "UTC"
    assert ask(app, "SHOW server_encoding") == "UTF8"
    assert ask(app, "SELECT upper('é')") == "É"


def test_a_password_is_needed(postgres, supervisor):
    url = postgres.url("slotbase_app")
    wrong = url.replace(url.split(":")[2].split("@")[0], "wrong")
    with pytest.raises(
        psycopg.OperationalError, match="password authentication failed"
    ):
        psycopg.connect(wrong).close()


def test_a_killed_server_comes_back_with_its_data(tmp_path):
    postgres = Postgres(tmp_path)
    postgres.prepare()
    with running([postgres.program()], tmp_path) as supervisor:
        with psycopg.connect(postgres.url("slotbase_owner")) as owner:
            owner.execute("CREATE TABLE kept AS SELECT 7 AS number")

        os.kill(supervisor.children()["postgres"].pid, signal.SIGKILL)
        tick_until(supervisor, lambda: not supervisor.children())
        tick_until(supervisor, lambda: not supervisor.waiting_for())

        with psycopg.connect(postgres.url("slotbase_app")) as app:
            assert ask(app, "SELECT number FROM kept") == 7
    postgres.discard()


def test_the_clock_moves_for_everybody_and_back(postgres, owner, app):
    owner.execute(f"{NOW} 'SELECT clock_timestamp()'")
    owner.commit()
    app.autocommit = True  # a transaction goes on with the function it has seen
    distance = "SELECT round(extract(epoch FROM slotbase_now() - clock_timestamp()))"

    for change, seconds in {
        "+1d": 86400,
        "-30m": -1800,
        "+300s": 300,
        "reset": 0,
    }.items():
        move_clock(postgres.url("slotbase_owner"), change)
        assert ask(app, distance) == seconds


def test_a_moved_clock_is_still_volatile_and_may_run_in_parallel(postgres, owner):
    owner.execute(f"{NOW} 'SELECT clock_timestamp()'")
    owner.commit()
    move_clock(postgres.url("slotbase_owner"), "+1d")
    marks = (
        "SELECT provolatile::text || proparallel::text FROM pg_proc WHERE proname = "
    )
    assert ask(owner, f"{marks} 'slotbase_now'") == "vs"


@pytest.mark.parametrize("change", ["1d", "+1", "+1w", "", "+1d; DROP TABLE x", "now"])
def test_what_is_not_a_change_of_the_clock_is_refused(change):
    with pytest.raises(StackError, match="not a change"):
        move_clock("postgresql://127.0.0.1:1/nowhere", change)


def test_the_next_start_finds_port_passwords_and_data(postgres, folder):
    again = Postgres(folder, durable=False)
    before = (again.data / "PG_VERSION").stat().st_ino

    again.prepare()

    assert (again.data / "PG_VERSION").stat().st_ino == before
    password = postgres.url("postgres").split("@")[0]
    assert again.url("postgres").split("@")[0] == password


def test_a_new_clone_in_an_old_place_does_not_inherit_the_data(tmp_path):
    old = Postgres(tmp_path, durable=False)
    old.prepare()
    (old.data / "old").touch()
    (tmp_path / "remembered.json").unlink()

    new = Postgres(tmp_path, durable=False)
    new.prepare()

    assert new.data == old.data
    assert not (new.data / "old").exists()
    new.discard()
    assert not new.data.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("pid", ["", os.getpid()], ids=["half", "another"])
def test_the_lock_file_of_a_dead_server_is_no_obstacle(tmp_path, pid):
    postgres = Postgres(tmp_path, durable=False)
    postgres.prepare()
    lock = postgres.data / "postmaster.pid"
    lock.write_text(f"{pid}\n")
    postgres.prepare()
    assert not lock.exists()
    postgres.discard()


def test_the_lock_file_of_a_living_server_stays(folder, supervisor):
    again = Postgres(folder, durable=False)
    again.prepare()
    assert (again.data / "postmaster.pid").exists()


def test_data_of_another_version_are_not_touched(tmp_path):
    postgres = Postgres(tmp_path, durable=False)
    postgres.prepare()
    (postgres.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackError, match="PostgreSQL 9"):
        postgres.prepare()
    postgres.discard()
