"""A failpoint fails as it is armed, and in production nothing can arm it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from slotbase.lib.failpoints import (
    FailpointReached,
    UnreadableFailpoint,
    armed,
    failpoint,
    parse,
)
from tests.devstack.tiny import wait_until
from tests.lib.test_unsafe_settings import is_refused, start

ROOT = Path(__file__).resolve().parents[2]
REACH_IT = """
import django
django.setup()
from slotbase.lib.failpoints import failpoint
failpoint("here")
print("went on")
"""


def process(failpoints: str, **env: str) -> subprocess.Popen[str]:
    """A process of the product that comes to the failpoint `here`."""
    more = {"FAILPOINTS": failpoints, "DJANGO_SETTINGS_MODULE": "slotbase.settings"}
    return subprocess.Popen(
        [sys.executable, "-c", REACH_IT],
        env={**os.environ, **more, **env},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_stopped(pid: int) -> bool:
    """Whether it is paused, so that SIGCONT would wake it."""
    found = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    return found is not None


def test_a_failpoint_that_is_not_armed_does_nothing() -> None:
    failpoint("here")


def test_raise_raises_inside_the_block_alone() -> None:
    with armed("here", "raise"):
        failpoint("elsewhere")
        with pytest.raises(FailpointReached, match="here"):
            failpoint("here")

    failpoint("here")


def test_it_is_disarmed_when_the_block_ends_badly() -> None:
    with pytest.raises(FailpointReached), armed("here", "raise"):
        failpoint("here")

    failpoint("here")


def test_all_threads_of_the_process_fail() -> None:
    seen: list[BaseException] = []

    def reach_it() -> None:
        try:
            failpoint("here")
        except FailpointReached as error:
            seen.append(error)

    with armed("here", "raise"):
        thread = threading.Thread(target=reach_it)
        thread.start()
        thread.join()

    assert len(seen) == 1


def test_sleep_waits_as_long_as_it_is_told() -> None:
    before = time.monotonic()
    with armed("here", "sleep:0.2"):
        failpoint("here")

    assert time.monotonic() - before >= 0.2


def test_kill_ends_the_process_at_once() -> None:
    with process("here=kill") as killed:
        said, _ = killed.communicate()

    assert killed.returncode == -signal.SIGKILL
    assert said == ""


def test_stop_pauses_the_process_until_it_is_told_to_go_on() -> None:
    with process("here=stop") as stopped:
        wait_until(lambda: is_stopped(stopped.pid), seconds=30)
        stopped.send_signal(signal.SIGCONT)
        said, _ = stopped.communicate()

    assert stopped.returncode == 0
    assert said == "went on\n"


def test_the_variable_arms_several() -> None:
    with process("elsewhere=kill; here=raise;") as failed:
        said, why = failed.communicate()

    assert said == ""
    assert why.splitlines()[-1].endswith("FailpointReached: here")


def test_without_demo_the_variable_is_ignored() -> None:
    # With DEBUG, so that it starts at all.
    with process("here=kill", DEMO="false", DEBUG="true") as spared:
        said, why = spared.communicate()

    assert spared.returncode == 0, why
    assert said == "went on\n"


def test_without_demo_nothing_starts_while_the_variable_is_set() -> None:
    done = start(FAILPOINTS="here=kill")

    assert done.returncode != 0
    assert "Unsafe settings. FAILPOINTS: only with DEMO." in done.stderr


def test_a_misspelt_action_stops_the_start(settings: Settings) -> None:
    loopback: dict[str, Any] = {"ALLOWED_HOSTS": ["localhost"], "DEMO": True}

    assert is_refused(settings, **loopback, FAILPOINTS="here=stop") == ""
    assert is_refused(settings, **loopback, FAILPOINTS="a=kill;here=klil") == (
        "Unsafe settings. FAILPOINTS: here=klil must be NAME=raise, NAME=kill, "
        "NAME=stop or NAME=sleep:SECONDS."
    )


@pytest.mark.parametrize(
    "text",
    [
        "here",
        "here=",
        "=kill",
        "here=KILL",
        "here=sleep",
        "here=sleep:-1",
        "a=sleep:1s",
    ],
)
def test_what_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(UnreadableFailpoint, match="must be NAME="):
        parse(text)


def test_a_test_that_misspells_an_action_is_told() -> None:
    with pytest.raises(UnreadableFailpoint), armed("here", "explode"):
        pass


@pytest.mark.parametrize("text", ["", " ", ";"])
def test_an_empty_variable_arms_nothing(text: str) -> None:
    assert parse(text) == {}
