"""The supervisor: order, restarts, process groups, and its own death."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slotbase.devstack import supervisor as module
from slotbase.devstack.errors import StackError
from slotbase.devstack.processes import identity
from slotbase.devstack.state import CHECKOUT
from slotbase.devstack.supervisor import Supervisor, running
from tests.devstack.tiny import (
    PARENT,
    STUBBORN,
    obedient,
    python,
    tick_until,
    wait_until,
)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervise(tmp_path: Path, said: list[str]) -> Iterator:
    started = []

    def start(*programs, **more) -> Supervisor:
        started.append(Supervisor(programs, tmp_path, report=said.append, **more))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def is_well(supervisor: Supervisor):
    return lambda: not supervisor.waiting_for()


def test_a_killed_program_is_started_again(supervise, tmp_path, said):
    supervisor = supervise(obedient("web", tmp_path / "stopped"))
    tick_until(supervisor, is_well(supervisor))
    first = supervisor.children()["web"].pid

    os.kill(first, signal.SIGKILL)
    tick_until(supervisor, lambda: said)
    tick_until(supervisor, is_well(supervisor))

    assert supervisor.children()["web"].pid != first
    assert said == ["web was killed by signal 9; again in 0.2 s"]


def test_what_a_killed_program_had_started_is_killed_too(supervise, tmp_path, said):
    supervisor = supervise(python("web", PARENT, tmp_path / "pid"))
    tick_until(supervisor, is_well(supervisor))
    grandchild = int((tmp_path / "pid").read_text())
    assert identity(grandchild)

    os.kill(supervisor.children()["web"].pid, signal.SIGKILL)
    tick_until(supervisor, lambda: said)

    wait_until(lambda: identity(grandchild) is None)


def test_programs_stop_in_the_reverse_order_of_their_start(supervise, tmp_path):
    stopped = tmp_path / "stopped"
    supervisor = supervise(*(obedient(name, stopped) for name in ("a", "b", "c")))
    tick_until(supervisor, is_well(supervisor))

    supervisor.stop()

    assert stopped.read_text().split() == ["c", "b", "a"]


def test_a_program_waits_for_those_it_needs(supervise, tmp_path):
    gate, stopped = tmp_path / "gate", tmp_path / "stopped"
    first = obedient("first", stopped, is_ready=lambda _: gate.exists())
    supervisor = supervise(first, obedient("second", stopped, after=("first",)))
    tick_until(supervisor, supervisor.children)
    supervisor.tick()
    assert list(supervisor.children()) == ["first"]

    gate.touch()
    tick_until(supervisor, is_well(supervisor))

    assert list(supervisor.children()) == ["first", "second"]


def test_a_job_runs_once_and_its_output_can_go_to_a_file(supervise, tmp_path):
    output = tmp_path / "output"
    supervisor = supervise(python("job", "print(7)", once=True, output=output))

    tick_until(supervisor, is_well(supervisor))
    supervisor.tick()

    assert output.read_text() == "7\n"
    assert supervisor.children() == {}


def test_a_job_that_ends_badly_has_failed_and_is_not_run_again(supervise, tmp_path):
    job = python("migrate", "import sys; print('why'); sys.exit(3)", once=True)
    supervisor = supervise(job)

    tick_until(supervisor, supervisor.failed)
    supervisor.tick()

    assert supervisor.failed() == "migrate"
    assert supervisor.children() == {}
    assert (tmp_path / "migrate.log").read_text() == "why\n"


def test_the_pauses_double_and_a_program_that_never_works_is_given_up(
    supervise, monkeypatch, said
):
    monkeypatch.setattr(module, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(module, "LONGEST_DELAY_SECONDS", 0.04)
    supervisor = supervise(python("web", "raise SystemExit(1)"))

    tick_until(supervisor, supervisor.failed)

    assert supervisor.failed() == "web"
    pauses = [
        line.removeprefix("web ended with exit code 1; again in ") for line in said
    ]
    assert pauses == ["0.01 s", "0.02 s", "0.04 s", "0.04 s", "0.04 s", "0.04 s"]


def test_a_program_that_has_worked_is_never_given_up(
    supervise, monkeypatch, tmp_path, said
):
    monkeypatch.setattr(module, "FIRST_DELAY_SECONDS", 0)
    supervisor = supervise(obedient("web", tmp_path / "stopped"))
    for deaths in range(module.DEATHS_BEFORE_FIRST_READY + 1):
        tick_until(supervisor, is_well(supervisor))
        os.kill(supervisor.children()["web"].pid, signal.SIGKILL)
        tick_until(supervisor, lambda count=deaths: len(said) > count)

    assert supervisor.failed() is None


def test_after_a_calm_time_the_pauses_are_short_again(
    supervise, monkeypatch, tmp_path, said
):
    monkeypatch.setattr(module, "CALM_SECONDS", 0)
    supervisor = supervise(obedient("web", tmp_path / "stopped"))
    for deaths in range(2):
        tick_until(supervisor, is_well(supervisor))
        os.kill(supervisor.children()["web"].pid, signal.SIGKILL)
        tick_until(supervisor, lambda count=deaths: len(said) > count)

    assert said == ["web was killed by signal 9; again in 0.2 s"] * 2


def test_a_program_that_does_not_listen_is_killed_in_the_end(supervise):
    supervisor = supervise(python("web", STUBBORN, stop_seconds=0.1))
    tick_until(supervisor, is_well(supervisor))
    pid = supervisor.children()["web"].pid

    supervisor.stop()

    assert identity(pid) is None


def test_the_owner_hears_of_every_new_process_number(supervise, tmp_path):
    heard = []
    supervisor = supervise(
        obedient("web", tmp_path / "stopped"),
        on_change=lambda it: heard.append({n: c.pid for n, c in it.children().items()}),
    )
    tick_until(supervisor, is_well(supervisor))
    first = supervisor.children()["web"].pid

    os.kill(first, signal.SIGKILL)
    tick_until(supervisor, lambda: supervisor.children().get("web", None) is None)
    tick_until(supervisor, is_well(supervisor))

    assert heard[0] == {"web": first}
    assert {} in heard
    assert heard[-1] == {"web": supervisor.children()["web"].pid}


def test_running_tells_what_is_not_ready_and_leaves_nothing_behind(tmp_path):
    program = python("web", "import time; time.sleep(60)")
    with (
        pytest.raises(StackError, match="web"),
        running([program], tmp_path, seconds=0.2) as nothing,
    ):
        pytest.fail(f"not ready: {nothing}")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux only")
def test_nothing_survives_a_supervisor_that_was_killed(tmp_path):
    code = f"""
import pathlib, time
from slotbase.devstack.supervisor import running
from tests.devstack.tiny import obedient
folder = pathlib.Path({str(tmp_path)!r})
with running([obedient("web", folder / "stopped")], folder) as supervisor:
    print(supervisor.children()["web"].pid, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=CHECKOUT
    ) as supervisor:
        assert supervisor.stdout
        pid = int(supervisor.stdout.readline())
        supervisor.kill()

    wait_until(lambda: identity(pid) is None)
    assert (tmp_path / "stopped").read_text().split() == ["web"]
