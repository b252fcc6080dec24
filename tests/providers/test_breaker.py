"""A breaker refuses calls of a failing provider at once, and tries again by itself."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from slotbase.providers import breaker as module
from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("stripe")


def fails(outcome: Outcome = Outcome.UNKNOWN) -> Callable[[], None]:
    def call() -> None:
        raise ProviderError(outcome, provider="stripe", code="no_answer")

    return call


def succeeds() -> None:
    pass


def code_of(breaker: Breaker, call: Callable[[], None]) -> str:
    """The code of the error that a call ends with, or `done`."""
    try:
        with breaker:
            call()
    except ProviderError as error:
        return error.code
    return "done"


def fail_often(breaker: Breaker, times: int = 5) -> None:
    for _ in range(times):
        assert code_of(breaker, fails()) == "no_answer"


def test_five_failures_open_it_and_no_call_is_tried(breaker: Breaker) -> None:
    fail_often(breaker, 4)
    assert breaker.state == "closed"
    fail_often(breaker, 1)
    calls: list[int] = []

    with pytest.raises(ProviderError) as caught, breaker:
        calls.append(1)

    assert calls == []
    assert breaker.state == "open"
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert str(caught.value) == "stripe: not executed (breaker_open)"


def test_a_call_that_was_not_tried_can_be_told_from_one_that_was(
    breaker: Breaker,
) -> None:
    fail_often(breaker)

    with pytest.raises(ProviderError) as refused, breaker:
        pass
    with pytest.raises(ProviderError) as failed:
        fails(Outcome.NOT_EXECUTED)()

    assert (refused.value.was_tried, failed.value.was_tried) == (False, True)


def test_it_says_how_long_it_stays_open(breaker: Breaker, clock: Clock) -> None:
    fail_often(breaker)
    clock.now += 4.5

    with pytest.raises(ProviderError) as caught, breaker:
        pass

    assert caught.value.retry_after == 11


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.NOT_EXECUTED, "open"),
        (Outcome.UNKNOWN, "open"),
        (Outcome.REFUSED, "closed"),
        (Outcome.CONFIGURATION, "closed"),
    ],
)
def test_only_a_provider_that_does_not_work_opens_it(
    breaker: Breaker, outcome: Outcome, state: str
) -> None:
    for _ in range(5):
        code_of(breaker, fails(outcome))

    assert breaker.state == state


def test_a_bug_of_ours_does_not_open_it(breaker: Breaker) -> None:
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), breaker:
            _ = 1 / 0

    assert breaker.state == "closed"


@pytest.mark.parametrize(("pause", "state"), [(7.5, "open"), (7.6, "closed")])
def test_failures_count_for_thirty_seconds(
    breaker: Breaker, clock: Clock, pause: float, state: str
) -> None:
    for _ in range(5):
        fail_often(breaker, 1)
        clock.now += pause

    clock.now -= pause
    assert breaker.state == state


def test_successes_between_failures_do_not_hide_them(breaker: Breaker) -> None:
    for _ in range(5):
        code_of(breaker, succeeds)
        fail_often(breaker, 1)

    assert breaker.state == "open"


def test_after_fifteen_seconds_a_success_closes_it(
    breaker: Breaker, clock: Clock
) -> None:
    fail_often(breaker)
    clock.now += 14.9
    assert code_of(breaker, succeeds) == "breaker_open"
    clock.now += 0.1
    assert breaker.state == "half_open"

    assert code_of(breaker, succeeds) == "done"

    assert breaker.state == "closed"
    fail_often(breaker, 4)
    assert breaker.state == "closed"


def test_a_refusal_shows_that_the_provider_works_again(
    breaker: Breaker, clock: Clock
) -> None:
    fail_often(breaker)
    clock.now += 15

    assert code_of(breaker, fails(Outcome.REFUSED)) == "no_answer"

    assert breaker.state == "closed"


def test_one_failure_on_trial_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    fail_often(breaker)
    clock.now += 15

    fail_often(breaker, 1)

    assert breaker.state == "open"
    clock.now += 14.9
    assert code_of(breaker, succeeds) == "breaker_open"
    clock.now += 0.1
    assert code_of(breaker, succeeds) == "done"


def test_one_call_only_is_on_trial(breaker: Breaker, clock: Clock) -> None:
    fail_often(breaker)
    clock.now += 15

    with breaker:
        assert breaker.state == "half_open"
        others = [in_a_thread(lambda: code_of(breaker, succeeds)) for _ in range(8)]

    assert others == ["breaker_open"] * 8
    assert breaker.state == "closed"


def test_a_trial_that_never_ends_is_followed_by_another(
    breaker: Breaker, clock: Clock
) -> None:
    fail_often(breaker)
    clock.now += 15

    def never_ends() -> None:
        clock.now += 15
        assert in_a_thread(lambda: code_of(breaker, succeeds)) == "done"
        fails()()

    assert code_of(breaker, never_ends) == "no_answer"
    assert breaker.state == "closed"


def test_a_success_from_before_does_not_close_it(
    breaker: Breaker, clock: Clock
) -> None:
    def end_call_from_before() -> str:
        breaker.__exit__(None, None, None)
        return breaker.state

    breaker.__enter__()
    fail_often(breaker)
    assert in_a_thread(end_call_from_before) == "open"
    clock.now += 15

    with breaker:
        assert in_a_thread(end_call_from_before) == "half_open"


def test_failures_from_before_do_not_keep_it_open(
    breaker: Breaker, clock: Clock
) -> None:
    late = ProviderError(Outcome.UNKNOWN, provider="stripe", code="no_answer")
    for _ in range(5):
        breaker.__enter__()
    fail_often(breaker)
    clock.now += 10
    for _ in range(5):
        breaker.__exit__(ProviderError, late, None)
    clock.now += 5

    assert code_of(breaker, succeeds) == "done"


def test_of_many_threads_that_fail_at_once_each_counts() -> None:
    breaker = Breaker("stripe", failures=200)
    threads = [
        threading.Thread(target=lambda: fail_often(breaker, 25)) for _ in range(8)
    ]
    for thread in threads[:-1]:
        thread.start()
    for thread in threads[:-1]:
        thread.join()
    assert breaker.state == "closed"

    threads[-1].start()
    threads[-1].join()

    assert breaker.state == "open"


def test_it_can_stand_before_a_function(breaker: Breaker) -> None:
    call = breaker(fails())

    for _ in range(5):
        with pytest.raises(ProviderError, match="no_answer"):
            call()

    with pytest.raises(ProviderError, match="breaker_open"):
        call()


def in_a_thread(call: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]
