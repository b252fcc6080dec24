"""Small programs that stand in for those of the product, and a way to drive them."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slotbase.devstack.child import Program
from slotbase.devstack.supervisor import Supervisor

# Says its name when it is told to stop, and when it runs.
OBEDIENT = """
import signal, sys, time
def stop(*_):
    with open(sys.argv[2], "a") as file: file.write(sys.argv[1] + " ")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while True: time.sleep(60)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(60)
"""
# Starts a process of its own and writes down its number.
PARENT = """
import subprocess, sys, time
code = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-S", "-c", code])
with open(sys.argv[1], "w") as file: file.write(str(child.pid))
print("ready", flush=True)
child.wait()
"""


def python(name: str, code: str, *arguments: object, **more: Any) -> Program:
    """A program that runs some lines of Python, ready when it has said so."""
    words = [str(each) for each in arguments]
    return Program(
        name=name,
        command=[sys.executable, "-S", "-c", code, *words],
        **{"is_ready": lambda child: child.said("ready"), **more},
    )


def obedient(name: str, stopped: Path, **more: Any) -> Program:
    """A program that adds its name to a file when it is stopped."""
    return python(name, OBEDIENT, name, stopped, **more)


def tick_until(
    supervisor: Supervisor, condition: Callable[[], object], *, seconds: float = 8
) -> None:
    """Drive the supervisor until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        supervisor.tick()
        assert time.monotonic() < end, supervisor.waiting_for()
        time.sleep(0.005)


def wait_until(condition: Callable[[], object], *, seconds: float = 8) -> None:
    """Return when the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
