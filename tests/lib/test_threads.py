"""A web process with all its threads at work still says that it lives, or is busy."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from slotbase.lib import middleware, threads

PLACES = 3


class Desk:
    """What stands behind the middleware: requests stay until they may go."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.here = threading.Semaphore(0)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.here.release()
        if request.path_info != middleware.ASKS_NOBODY:
            assert self.may_go.wait(30)
        return HttpResponse()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def ask(
    desk: Desk, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Any]]:
    """Sends a request in a thread of its own; returns its future."""
    monkeypatch.setattr(threads, "threads", threads.Threads())
    monkeypatch.setattr(middleware, "threads", threads.threads)
    settings.WEB_THREADS = PLACES + 1
    threads.keep_one_free()
    handle = middleware.a_free_thread(desk)
    with ThreadPoolExecutor(20) as pool:
        yield lambda path: pool.submit(handle, RequestFactory().get(path))
        desk.may_go.set()


def occupy(desk: Desk, ask: Callable[[str], Any]) -> list[Any]:
    waiting = [ask("/api/v1/venues/") for _ in range(PLACES)]
    for _ in waiting:
        assert desk.here.acquire(timeout=10)
    return waiting


def test_the_last_thread_answers_at_once_while_all_others_are_stuck(
    desk: Desk, ask: Callable[[str], Any]
) -> None:
    waiting = occupy(desk, ask)
    refused = ask("/api/v1/venues/").result(10)  # after a second of patience

    begin = time.monotonic()
    others = [ask("/api/v1/venues/").result(10) for _ in range(5)]
    live = ask("/health/live").result(10)
    assert time.monotonic() - begin < threads.STUCK_SECONDS

    assert {each.status_code for each in (refused, *others)} == {503}
    assert refused["Retry-After"] == "2"
    assert b'"try_again"' in refused.content
    assert live.status_code == 200
    desk.may_go.set()
    assert {each.result(10).status_code for each in waiting} == {200}
    assert ask("/api/v1/venues/").result(10).status_code == 200


def test_staff_are_told_by_a_page(desk: Desk, ask: Callable[[str], Any]) -> None:
    occupy(desk, ask)

    page = ask("/admin/").result(10)

    assert (page.status_code, page["Content-Type"][:9]) == (503, "text/html")


def test_who_comes_in_a_crowd_waits_a_moment_and_is_served(
    desk: Desk, ask: Callable[[str], Any]
) -> None:
    waiting = occupy(desk, ask)
    late = ask("/api/v1/venues/")
    desk.may_go.set()

    assert {each.result(10).status_code for each in (*waiting, late)} == {200}


def test_a_process_with_one_thread_serves(
    desk: Desk, ask: Callable[[str], Any], settings: Any
) -> None:
    settings.WEB_THREADS = 1
    threads.keep_one_free()
    desk.may_go.set()

    assert ask("/api/v1/venues/").result(10).status_code == 200


def test_without_the_limit_everybody_would_stand_in_line(
    desk: Desk, ask: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: outside a web server nobody is refused."""
    monkeypatch.setattr(middleware, "threads", threads.Threads())
    occupy(desk, ask)

    late = ask("/api/v1/venues/")

    assert desk.here.acquire(timeout=10)
    assert not late.done()
