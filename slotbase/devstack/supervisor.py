"""Keeps programs running: in the right order, again when they die, never half."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from slotbase.devstack.child import Child, Program
from slotbase.devstack.errors import StackError

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 10.0
CALM_SECONDS = 30
# A PostgreSQL that was killed may refuse to start for some seconds: these make 6 s.
DEATHS_BEFORE_FIRST_READY = 6
PAUSE_SECONDS = 0.02


class Post:
    """One program's place: who fills it now, and how often it has been vacated."""

    def __init__(
        self, program: Program, log: Path, report: Callable[[str], None]
    ) -> None:
        self.program = program
        self._log = log
        self._report = report
        self.child: Child | None = None
        self.ready = False
        self.failed = False
        self._has_been_ready = False
        self._deaths = 0
        self._due_at = 0.0

    def tick(self, ready: set[str]) -> None:
        """Notice a death, start what is due, ask whether it is ready."""
        if self.child is not None and (code := self.child.exit_code()) is not None:
            self._bury(self.child, code)
        if self.child is None and self._is_due(ready):
            self.child = Child(self.program, self._log)
        if self.child is not None and not self.ready and not self.program.once:
            self.ready = self.program.is_ready(self.child)
            self._has_been_ready |= self.ready

    def _is_due(self, ready: set[str]) -> bool:
        is_over = self.failed or (self.program.once and self.ready)
        has_waited = time.monotonic() >= self._due_at
        return not is_over and has_waited and ready.issuperset(self.program.after)

    def _bury(self, child: Child, code: int) -> None:
        # A killed main process leaves workers behind that still hold its port.
        child.kill_group()
        self.child = None
        if self.program.once:
            self.ready, self.failed = code == 0, code != 0
            return
        self.ready = False
        self._deaths = 1 if child.age() >= CALM_SECONDS else self._deaths + 1
        gives_up = self._deaths >= DEATHS_BEFORE_FIRST_READY
        self.failed = gives_up and not self._has_been_ready
        self._wait_before_next_life(code)

    def _wait_before_next_life(self, code: int) -> None:
        doubled = FIRST_DELAY_SECONDS * 2 ** (self._deaths - 1)
        delay = min(doubled, LONGEST_DELAY_SECONDS)
        self._due_at = time.monotonic() + delay
        self._report(f"{self.program.name} {_end(code)}; again in {delay:g} s")


class Supervisor:
    """Runs programs and keeps them running while its owner calls `tick`.

    Each is started when those it comes after are ready. One that dies is started again
    after 0.2 s, doubling up to 10 s, and from the beginning once it has lived for 30 s.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        logs: Path,
        *,
        on_change: Callable[["Supervisor"], None] = lambda _: None,
        report: Callable[[str], None] = print,
    ) -> None:
        self._posts = [
            Post(each, logs / f"{each.name}.log", report) for each in programs
        ]
        self._on_change = on_change

    def tick(self) -> None:
        """Do what is due now, and tell the owner if anything has changed."""
        before = self._picture()
        for post in self._posts:
            post.tick(self._ready_names())
        if self._picture() != before:
            self._on_change(self)

    def children(self) -> dict[str, Child]:
        """What runs at this moment, by the name of its program, in start order."""
        return {p.program.name: p.child for p in self._posts if p.child}

    def waiting_for(self) -> list[str]:
        """The programs that are not ready; empty when everything is well."""
        return [post.program.name for post in self._posts if not post.ready]

    def failed(self) -> str | None:
        """The job that ended badly or the program that dies before it is ever ready."""
        return next((post.program.name for post in self._posts if post.failed), None)

    def stop(self) -> None:
        """Stop everything in the reverse order of the start."""
        for post in reversed(self._posts):
            if post.child is not None:
                post.child.stop()
                post.child = None
                post.ready = False

    def _ready_names(self) -> set[str]:
        return {post.program.name for post in self._posts if post.ready}

    def _picture(self) -> tuple[object, ...]:
        return self.children(), self.waiting_for(), self.failed()


@contextmanager
def running(
    programs: Sequence[Program], logs: Path, *, seconds: float = 30
) -> Iterator[Supervisor]:
    """Programs that are ready inside the block and stopped after it.

    Nobody ticks inside the block: what dies there stays dead, unless the caller ticks.

    Raises:
        StackError: they were not ready in time.
    """
    supervisor = Supervisor(programs, logs)
    end = time.monotonic() + seconds
    try:
        while supervisor.waiting_for():
            supervisor.tick()
            if supervisor.failed() or time.monotonic() > end:
                raise StackError(f"Not ready: {supervisor.waiting_for()}; see {logs}")
            time.sleep(PAUSE_SECONDS)
        yield supervisor
    finally:
        supervisor.stop()


def _end(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
