"""Looks that keep nobody waiting."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from structlog.testing import capture_logs

from slotbase.lib import look
from slotbase.lib.look import Lookout, Probe
from tests.silence import end_sleepers, silent_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = Probe()
    yield probe
    probe.close()
    end_sleepers()


def lead_to(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next connection of a probe goes to this port of this computer."""
    there = {**connection.get_connection_params(), "host": "127.0.0.1", "port": port}
    monkeypatch.setattr(connection, "get_connection_params", lambda: there)


def seconds_of(call: Any) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


# --- A probe ------------------------------------------------------------------


def test_a_probe_asks_over_one_connection(probe: Probe) -> None:
    [(first,)] = probe.ask("SELECT pg_backend_pid()")
    [(second,)] = probe.ask("SELECT pg_backend_pid() WHERE %s = ANY(%s)", 1, [1, 2])

    assert first == second


def test_a_probe_makes_a_new_connection_when_its_own_was_cut(probe: Probe) -> None:
    [(old,)] = probe.ask("SELECT pg_backend_pid()")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [old])

    [(new,)] = probe.ask("SELECT pg_backend_pid()")

    assert new != old


def test_a_probe_does_not_wait_for_a_slow_answer(probe: Probe) -> None:
    probe.ask("SELECT 1")

    def ask() -> None:
        with pytest.raises(psycopg.OperationalError):
            probe.ask("SELECT pg_sleep(60)")

    assert seconds_of(ask) < 20


def test_a_probe_does_not_wait_for_a_server_that_takes_it_and_is_silent(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as port, monkeypatch.context() as misled:
        lead_to(port, misled)

        def ask() -> None:
            with pytest.raises(psycopg.OperationalError):
                probe.ask("SELECT 1")

        assert seconds_of(ask) < 20


def test_after_silence_a_probe_works_again(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_server() as port, monkeypatch.context() as misled:
        lead_to(port, misled)
        with pytest.raises(psycopg.OperationalError):
            probe.ask("SELECT 1")

    assert probe.ask("SELECT 1") == [(1,)]


def test_an_ordinary_connection_would_wait_for_the_slow_answer() -> None:
    with psycopg.connect(
        dbname=connection.settings_dict["NAME"],
        host=connection.settings_dict["HOST"],
        port=connection.settings_dict["PORT"],
        user=connection.settings_dict["USER"],
        password=connection.settings_dict["PASSWORD"],
    ) as ordinary:
        slow = f"SELECT pg_sleep({look.ANSWER_SECONDS + 1})"
        assert seconds_of(lambda: ordinary.execute(slow)) > look.ANSWER_SECONDS


# --- A lookout ----------------------------------------------------------------


class Scene:
    """Something to look at, which can be made to hang."""

    def __init__(self) -> None:
        self.shows, self.looks = "day", 0
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.hangs = threading.Event()

    def look(self) -> str:
        self.looks += 1
        if not self.goes_on.is_set():
            self.hangs.set()
        self.goes_on.wait(60)
        return self.shows

    def freeze(self) -> None:
        self.goes_on.clear()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    # A busy computer may take long for a look that does not hang.
    monkeypatch.setattr(look, "WAIT_SECONDS", 10)
    scene = Scene()
    yield scene
    scene.goes_on.set()


def test_who_asks_is_told_what_is_to_be_seen_now(scene: Scene) -> None:
    lookout = Lookout("test", scene.look)
    assert lookout.ask(fresh=0, stale=60) == "day"

    scene.shows = "night"

    assert lookout.ask(fresh=0, stale=60) == "night"


def test_what_was_seen_lately_is_not_looked_at_again(scene: Scene) -> None:
    lookout = Lookout("test", scene.look)

    assert {lookout.ask(fresh=60, stale=60) for _ in range(5)} == {"day"}
    assert scene.looks == 1


def test_while_a_look_hangs_what_was_seen_before_has_to_do_for_a_while(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookout = Lookout("test", scene.look)
    lookout.ask(fresh=0, stale=60)
    monkeypatch.setattr(look, "WAIT_SECONDS", 0.05)
    scene.freeze()

    assert lookout.ask(fresh=0, stale=60) == "day"
    assert lookout.ask(fresh=0, stale=0) is None


def test_a_look_that_hangs_is_not_waited_for_twice(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookout = Lookout("test", scene.look)
    monkeypatch.setattr(look, "WAIT_SECONDS", 0.5)
    scene.freeze()
    assert lookout.ask(fresh=0, stale=60) is None

    many = seconds_of(lambda: [lookout.ask(fresh=0, stale=60) for _ in range(20)])

    assert many < 20 * 0.5 / 2
    assert scene.looks == 1


def test_when_a_look_goes_on_who_asks_next_is_told_what_it_saw(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookout = Lookout("test", scene.look)
    monkeypatch.setattr(look, "WAIT_SECONDS", 0)
    scene.freeze()
    assert lookout.ask(fresh=0, stale=60) is None
    assert scene.hangs.wait(10)

    monkeypatch.setattr(look, "WAIT_SECONDS", 10)
    scene.goes_on.set()

    assert lookout.ask(fresh=0, stale=60) == "day"


def test_a_look_that_fails_is_told_without_its_words_and_the_next_one_comes() -> None:
    looks = []

    def fail_once() -> str:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("the password is hunter2")
        return "day"

    lookout = Lookout("test", fail_once)
    with capture_logs() as logged:
        assert lookout.ask(fresh=0, stale=0.001) is None
        assert look_until_seen(lookout) == "day"

    assert [each["event"] for each in logged] == ["look_failed"]
    assert "hunter2" not in str(logged)


def look_until_seen(lookout: Lookout[str]) -> str | None:
    for _ in range(100):
        if seen := lookout.ask(fresh=0, stale=60):
            return seen
    return None
