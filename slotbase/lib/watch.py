"""What a web process sees to beside its requests, each job in a thread of its own.

Web processes live when beat, the workers or Redis do not: they notice, and tell. Every
process does each job, so a job must be safe when many do it at once.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import close_old_connections

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Job:
    """Call something every so many seconds, for the life of the process."""

    name: str
    seconds: float
    call: Callable[[], object]


_jobs: dict[str, Job] = {}


def register(*jobs: Job) -> None:
    """Make jobs known; each app registers its own."""
    _jobs.update({job.name: job for job in jobs})


def registered() -> dict[str, Job]:
    """All jobs, by name."""
    return dict(_jobs)


def start() -> None:
    """Begin with every job; called once by what the web server serves (`wsgi.py`)."""
    for job in _jobs.values():
        thread = threading.Thread(
            target=_go_on, args=(job,), name=job.name, daemon=True
        )
        thread.start()


def _go_on(job: Job) -> None:
    while True:
        run_once(job)
        time.sleep(job.seconds)


def run_once(job: Job) -> None:
    """One turn of a job; whatever goes wrong ends only this turn."""
    close_old_connections()
    try:
        job.call()
    except Exception as error:  # noqa: BLE001 - the next turn comes; its text may tell
        log.warning("watch_job_failed", job=job.name, error=type(error).__name__)
    finally:
        close_old_connections()
