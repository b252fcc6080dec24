"""Runs a stack until it is asked to stop, and tells others how it is doing."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from slotbase.devstack.child import Child, Program
from slotbase.devstack.errors import StackError
from slotbase.devstack.interrupts import Interrupts, listening
from slotbase.devstack.leftovers import end_leftovers, remember_children
from slotbase.devstack.run_env import forget_run_env, write_run_env
from slotbase.devstack.state import State
from slotbase.devstack.status import Status, only_process, say
from slotbase.devstack.supervisor import Supervisor
from slotbase.devstack.terminal import Terminal

START_SECONDS = 120
TICK_SECONDS = 0.1


class Stack(Protocol):
    """Programs that belong together."""

    @property
    def programs(self) -> Sequence[Program]:
        """In an order in which each comes after those it needs."""

    def run_env(self, children: Mapping[str, Child]) -> dict[str, str]:
        """What scripts may want to know: addresses and process numbers."""


class StartFailed(StackError):
    """One program kept the stack from becoming healthy; its log says why."""

    def __init__(self, program: str, why: str) -> None:
        super().__init__(f"{program} {why}.")
        self.program = program


def run_stack(
    state: State,
    build: Callable[[State], Stack],
    *,
    echo: bool,
    greet: Callable[[], str],
) -> None:
    """Start everything, keep it running, and stop it when a signal asks for that.

    `greet` is asked for what to say at the moment when all is healthy. What an earlier
    supervisor left behind is ended first.

    Raises:
        AlreadyRunning: another supervisor has this installation.
        StackError: it could not be started; nothing runs any more.
    """
    with only_process(state), listening() as interrupts:
        say(state, Status(pid=os.getpid(), waiting_for=["supervisor"]))
        try:
            end_leftovers(state)
            Run(state, build(state), echo=echo, greet=greet).until(interrupts)
        except Exception as error:
            say(state, _failure(error))
            raise
        say(state, Status(pid=os.getpid(), failure="It was stopped."))


def _failure(error: Exception) -> Status:
    failed = "supervisor"
    if isinstance(error, StackError):
        failed = error.program if isinstance(error, StartFailed) else ""
    return Status(pid=os.getpid(), failure=str(error) or repr(error), failed=failed)


class Run:
    """One life of a stack."""

    def __init__(
        self, state: State, stack: Stack, *, echo: bool, greet: Callable[[], str]
    ) -> None:
        self._state, self._stack, self._greet = state, stack, greet
        logs = {each.name: state.logs / f"{each.name}.log" for each in stack.programs}
        for log in logs.values():
            _keep_one_old(log)
        shown = [logs[each.name] for each in stack.programs if echo and each.echo]
        self._terminal = Terminal(shown)
        self._supervisor = Supervisor(
            stack.programs,
            state.logs,
            on_change=self._publish,
            report=self._terminal.say,
        )
        self._has_been_healthy = False

    def until(self, interrupts: Interrupts) -> None:
        """Run until a signal asks to stop; afterwards nothing runs."""
        start_by = time.monotonic() + START_SECONDS
        try:
            while not interrupts.stop:
                self._supervisor.tick()
                self._terminal.show_news()
                self._require_start_by(start_by)
                interrupts.wait(TICK_SECONDS)
        finally:
            self._supervisor.stop()
            self._terminal.show_news()
            remember_children(self._state, ())
            forget_run_env(self._state)

    def _require_start_by(self, start_by: float) -> None:
        if self._has_been_healthy:
            return
        waiting = self._supervisor.waiting_for()
        if (failed := self._supervisor.failed()) is not None:
            raise StartFailed(failed, "failed")
        if waiting and time.monotonic() > start_by:
            raise StartFailed(waiting[0], f"was not ready after {START_SECONDS} s")
        if not waiting:
            self._has_been_healthy = True
            self._terminal.say(self._greet())

    def _publish(self, supervisor: Supervisor) -> None:
        children = supervisor.children()
        remember_children(self._state, children.values())
        write_run_env(self._state, self._stack.run_env(children))
        waiting_for = supervisor.waiting_for()
        say(self._state, Status(pid=os.getpid(), waiting_for=waiting_for))


def _keep_one_old(log: Path) -> None:
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
