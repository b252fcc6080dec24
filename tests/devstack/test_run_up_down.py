"""The commands, with a stack of tiny programs in the place of the product."""

import json
import os
import signal
import subprocess
import sys

import pytest

from slotbase.devstack.processes import identity
from slotbase.devstack.run_env import read_run_env
from slotbase.devstack.state import CHECKOUT, State
from slotbase.devstack.status import is_supervised, read_status
from slotbase.devstack.up_down import NOT_NEEDED
from tests.devstack.tiny import OBEDIENT, STUBBORN, wait_until


class Tiny:
    """Drives `tiny_stack.py` in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.state = State(folder / "state")
        self.programs(first=OBEDIENT, second=OBEDIENT)

    def programs(self, **codes):
        (self.folder / "programs.json").write_text(json.dumps(codes))

    def start(self, command):
        module = ["-m", "tests.devstack.tiny_stack", str(self.folder), command]
        return subprocess.Popen(
            [sys.executable, *module],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def do(self, command):
        with self.start(command) as process:
            output, _ = process.communicate(timeout=20)
        return process.returncode, output

    def pids(self):
        values = read_run_env(self.state).items()
        return {name: int(pid) for name, pid in values if name.endswith("_PID")}

    def stopped(self):
        file = self.folder / "stopped"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def tiny(tmp_path):
    tiny = Tiny(tmp_path)
    yield tiny
    tiny.do("down")


def test_up_returns_when_all_is_well_and_down_when_all_is_gone(tiny):
    assert tiny.do("up") == (0, "")
    pids = tiny.pids()
    assert list(pids) == ["FIRST_PID", "SECOND_PID"]
    assert all(identity(pid) for pid in pids.values())

    assert tiny.do("down") == (0, "")
    assert tiny.stopped() == ["second", "first"]
    assert not any(identity(pid) for pid in pids.values())
    assert read_run_env(tiny.state) == {}


def test_down_when_nothing_runs_is_well(tiny):
    assert tiny.do("down") == (0, "")
    assert tiny.do("down") == (0, "")


def test_up_when_it_runs_changes_nothing(tiny):
    tiny.do("up")
    before = tiny.pids()
    assert tiny.do("up") == (0, "")
    assert tiny.pids() == before


def test_two_ups_at_once_start_one_stack(tiny):
    with tiny.start("up") as one, tiny.start("up") as other:
        assert (one.wait(20), other.wait(20)) == (0, 0)
    status = read_status(tiny.state)
    assert status is not None
    assert status.is_healthy
    logged = (tiny.state.logs / "supervisor.log").read_text()
    assert logged.count("all is well") == 1


def test_run_when_it_runs_says_so(tiny):
    tiny.do("up")
    assert tiny.do("run") == (NOT_NEEDED, "It is running already.\n")


def test_up_tells_which_part_failed_and_why_and_leaves_nothing(tiny):
    log = str(tiny.state.logs / "first.log")
    # A program that was not there yet could not say that it was stopped.
    broken = f"""
import sys, time
while "ready" not in open({log!r}).read(): time.sleep(0.01)
sys.exit('the disk is full')
"""
    tiny.programs(first=OBEDIENT, job=broken)

    code, output = tiny.do("up")

    assert code == 1
    assert "job failed.\n" in output
    assert "the disk is full" in output
    assert tiny.stopped() == ["first"]
    assert not is_supervised(tiny.state)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_order_even_when_it_comes_twice(tiny, number):
    with tiny.start("run") as supervisor:
        wait_until(
            lambda: read_status(tiny.state) and read_status(tiny.state).is_healthy
        )
        supervisor.send_signal(number)
        supervisor.send_signal(number)
        output, _ = supervisor.communicate(timeout=20)

    assert supervisor.returncode == 0
    assert tiny.stopped() == ["second", "first"]
    assert "all is well" in output
    assert "first      | ready" in output


def test_run_env_is_private_follows_restarts_and_can_be_sourced(tiny):
    tiny.do("up")
    file = tiny.state.root / "run.env"
    assert file.stat().st_mode & 0o777 == 0o600
    killed = tiny.pids()["FIRST_PID"]

    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: tiny.pids().get("FIRST_PID", killed) != killed)

    script = f'. "{file}"; echo "$WORDS $FIRST_PID"'
    said = subprocess.run(
        ["/bin/sh", "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout == f"two words {tiny.pids()['FIRST_PID']}\n"


@pytest.mark.parametrize("next_command", ["down", "up"])
def test_what_a_killed_supervisor_left_is_ended_by_the_next_command(tiny, next_command):
    tiny.programs(first=STUBBORN, second=OBEDIENT)
    tiny.do("up")
    left = tiny.pids()
    status = read_status(tiny.state)
    assert status is not None

    os.kill(status.pid, signal.SIGKILL)
    wait_until(lambda: not is_supervised(tiny.state))
    assert identity(left["FIRST_PID"])
    assert tiny.do(next_command) == (0, "")

    assert not any(identity(pid) for pid in left.values())
    assert bool(tiny.pids()) == (next_command == "up")
