"""Which process is it, and ending what an earlier start left."""

import os
import signal
import subprocess
import sys

import pytest

from slotbase.devstack.processes import end_group, identity
from tests.devstack.tiny import PARENT, wait_until

# Whoever runs the tests in the background may have told them to ignore SIGINT.
SLEEP = (
    "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL);"
    " print(flush=True); time.sleep(600)"
)
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def process():
    command = [sys.executable, "-S", "-c", SLEEP]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE
    ) as found:
        assert found.stdout
        found.stdout.readline()  # a signal while Python starts may be lost
        yield found
        found.kill()


def test_a_process_keeps_its_identity_and_loses_it_with_its_life(process):
    who = identity(process.pid)
    assert who is not None
    assert identity(process.pid) == who

    process.kill()
    process.wait()

    assert identity(process.pid) is None


@linux
def test_a_zombie_is_dead(process):
    process.kill()
    wait_until(lambda: identity(process.pid) is None)
    assert process.returncode is None


def test_a_leftover_is_ended_with_its_signal(process):
    end_group(process.pid, identity(process.pid) or "", signal.SIGINT)

    assert process.wait() == -signal.SIGINT


def test_a_process_that_got_the_number_later_is_left_alone(process):
    who = identity(process.pid)
    assert who is not None

    end_group(process.pid, f"{who}0", signal.SIGKILL)
    end_group(process.pid, "another-boot 1", signal.SIGKILL)

    assert process.poll() is None


@linux
def test_a_group_is_ended_when_its_leader_died_before(tmp_path):
    leader = [sys.executable, "-S", "-c", PARENT, str(tmp_path / "pid")]
    with subprocess.Popen(
        leader, start_new_session=True, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        who = identity(process.pid) or ""
        os.kill(process.pid, signal.SIGKILL)
    member = int((tmp_path / "pid").read_text())

    # It ignores SIGTERM, as a worker in the middle of something might.
    end_group(process.pid, who, signal.SIGKILL)

    assert identity(member) is None
