"""Jobs of a web process beside its requests."""

import threading

import pytest
from structlog.testing import capture_logs

from slotbase.lib import watch


def test_a_job_is_done_again_and_again_though_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, has_come_thrice = [], threading.Event()

    def fail() -> None:
        turns.append(threading.current_thread().name)
        if len(turns) == 3:
            has_come_thrice.set()
            threading.Event().wait()  # it must not go on beside other tests
        raise OSError

    monkeypatch.setattr(watch, "_jobs", {})
    watch.register(watch.Job("a job", 0.01, fail))
    watch.start()

    assert has_come_thrice.wait(10)
    assert set(turns) == {"a job"}


def test_what_goes_wrong_is_told_without_its_words() -> None:
    def fail() -> None:
        raise ValueError("the password is hunter2")

    # In a thread of its own, as always: a turn gives back the connection of its thread.
    thread = threading.Thread(
        target=watch.run_once, args=(watch.Job("a job", 1, fail),)
    )
    with capture_logs() as logged:
        thread.start()
        thread.join()

    assert logged == [
        {
            "event": "watch_job_failed",
            "job": "a job",
            "error": "ValueError",
            "log_level": "warning",
        }
    ]
