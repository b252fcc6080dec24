"""How providers are is learned from calls that are made anyway, from nothing else."""

import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from recovery import provider_status, rowqueue
from recovery.models import ProviderStatus
from recovery.provider_status import Reporter, Status, Tally, list_statuses, write
from slotbase.lib.clock import read_clock
from slotbase.providers import breaker as breaker_module
from slotbase.providers import reports
from slotbase.providers.breaker import Breaker
from slotbase.providers.clerk import client as clerk
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.reports import Report
from tests.adversity import Clock
from tests.conftest import Sandbox
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def failure(code: str = "no_answer", outcome: Outcome = Outcome.UNKNOWN) -> Any:
    return ProviderError(outcome, provider="stripe", code=code)


def tell(*told: Report) -> None:
    """Write these reports as one process would, in one turn."""
    news: dict[str, Tally] = {}
    for report in told:
        news.setdefault(report.provider, Tally()).add(report)
    write(news)


def stripe() -> Status:
    return next(each for each in list_statuses() if each.provider == "stripe")


@pytest.fixture
def heard() -> Any:
    """What is told of calls."""
    told: list[Report] = []
    reports.listen(told.append)
    yield told
    reports._listeners.remove(told.append)


def test_a_provider_that_nobody_called_is_not_called_healthy() -> None:
    assert not stripe().was_called
    assert stripe().is_configured


def test_the_last_calls_are_known_with_their_times_and_numbers() -> None:
    tell(Report("stripe"), Report("stripe"), Report("stripe", failure()))

    status = stripe()
    assert (status.successes, status.failures) == (2, 1)
    assert status.last_success_at is not None
    assert status.last_failure_at is not None
    assert (status.last_code, status.is_failing) == ("no_answer", True)
    assert (read_clock() - status.last_failure_at).total_seconds() < 60


def test_a_success_ends_the_failing() -> None:
    tell(Report("stripe", failure()))
    tell(Report("stripe"))

    assert not stripe().is_failing
    assert stripe().last_code == "no_answer"  # what it was stays readable


def test_an_answer_that_refuses_a_call_for_good_is_an_answer() -> None:
    tell(Report("stripe", failure("card_declined", Outcome.REFUSED)))

    assert (stripe().successes, stripe().failures) == (1, 0)
    assert not stripe().is_failing


def test_refused_credentials_are_told_apart_from_silence() -> None:
    tell(Report("stripe", failure("http_401", Outcome.CONFIGURATION)))

    assert stripe().last_code == "credentials_refused:http_401"
    assert stripe().is_failing


def test_an_open_case_about_credentials_is_known() -> None:
    from django.db import transaction

    with transaction.atomic():
        rowqueue._open_configuration_case(
            rowqueue.Failure("stripe: configuration (x)", misconfigured="stripe")
        )

    assert stripe().refuses_us


def test_a_breaker_that_opened_anywhere_is_open_until_it_lets_calls_through(
    clock: Clock,
) -> None:
    tell(Report("stripe", failure(), open_seconds=15))
    tell(Report("stripe"))  # another process, whose breaker is closed
    assert stripe().breaker == "open"
    assert stripe().open_since is not None

    clock.move(seconds=20)
    assert stripe().breaker == "half_open"

    tell(Report("stripe"))
    assert stripe().breaker == "closed"


def test_a_breaker_that_nobody_tried_for_a_minute_is_history(clock: Clock) -> None:
    tell(Report("stripe", failure(), open_seconds=15))
    clock.move(seconds=76)

    assert stripe().breaker == "closed"
    assert stripe().open_since is None


def test_a_breaker_that_opens_again_has_been_open_since_the_first_time(
    clock: Clock,
) -> None:
    tell(Report("stripe", failure(), open_seconds=15))
    since = stripe().open_since
    clock.move(seconds=16)
    tell(Report("stripe", failure(), open_seconds=15))
    assert stripe().open_since == since

    clock.move(seconds=120)
    tell(Report("stripe", failure(), open_seconds=15))
    assert stripe().open_since != since


def test_numbers_are_those_of_the_last_minutes(clock: Clock) -> None:
    tell(Report("stripe"))
    clock.move(minutes=4)
    tell(Report("stripe"))
    assert stripe().successes == 2

    clock.move(minutes=2)
    tell(Report("stripe"))
    assert stripe().successes == 1


def test_a_provider_that_is_new_appears_by_itself() -> None:
    tell(Report("pigeons"))

    assert "pigeons" in {each.provider for each in list_statuses()}
    assert ProviderStatus.objects.count() == 1


def test_a_provider_without_its_setting_is_not_configured(settings: Any) -> None:
    settings.ANALYTICS_URL = settings.OPENAI_API_KEY = ""

    known = {each.provider: each.is_configured for each in list_statuses()}
    assert not known["analytics"]
    assert not known["openai"]


# --- Who tells ----------------------------------------------------------------


def test_a_breaker_tells_of_each_call_and_of_its_opening(heard: list[Report]) -> None:
    breaker = Breaker("stripe", failures=2)
    with breaker:
        pass
    for _ in range(2):
        with pytest.raises(ProviderError), breaker:
            raise failure()
    with pytest.raises(ProviderError), breaker:  # not made, so nothing came of it
        pass

    assert [(r.error and r.error.code, bool(r.open_seconds)) for r in heard] == [
        (None, False),
        ("no_answer", False),
        ("no_answer", True),
    ]


def test_a_bug_says_nothing_about_a_provider(heard: list[Report]) -> None:
    with pytest.raises(ValueError, match="a bug"), Breaker("stripe"):
        raise ValueError("a bug")

    assert heard == []


def test_fetching_keys_tells_how_clerk_is(
    sandbox: Sandbox, heard: list[Report]
) -> None:
    clerk.fetch_signing_keys()
    down = {"provider": "clerk", "operation": "*", "fault": "5xx", "count": 1}
    sandbox.post("/_sandbox/faults", down)
    with pytest.raises(ProviderError):
        clerk.fetch_signing_keys()

    assert [each.error is None for each in heard] == [True, False]


def test_a_listener_that_fails_does_not_touch_the_call() -> None:
    def fail(_: Report) -> None:
        raise OSError("its words may hold anything")

    reports.listen(fail)
    try:
        with capture_logs() as logged, Breaker("stripe"):
            pass
    finally:
        reports._listeners.remove(fail)

    assert [each["event"] for each in logged] == ["report_lost"]
    assert "words" not in str(logged)


# --- Who listens --------------------------------------------------------------


def test_what_is_heard_is_written_by_a_thread_of_its_own() -> None:
    reporter = Reporter()

    reporter.hear(Report("stripe"))

    eventually(lambda: ProviderStatus.objects.filter(successes=1).exists())


def test_hearing_waits_for_nothing_and_keeps_little_while_writing_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hangs, may_go_on = threading.Event(), threading.Event()

    def hang(news: Any) -> None:
        hangs.set()
        may_go_on.wait(30)

    monkeypatch.setattr(provider_status, "write", hang)
    reporter = Reporter()
    reporter.hear(Report("stripe"))
    assert hangs.wait(10)

    began = time.monotonic()
    for _ in range(10_000):
        reporter.hear(Report("stripe", failure(), open_seconds=15))
    took = time.monotonic() - began
    may_go_on.set()

    assert took < 5
    assert len(reporter._tallies) <= 1
    assert reporter._thread.is_alive()


def test_a_write_that_fails_ends_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def fail_once(news: Any) -> None:
        written.append(news)
        if len(written) == 1:
            raise OSError("the password is hunter2")

    monkeypatch.setattr(provider_status, "write", fail_once)
    monkeypatch.setattr(provider_status, "WRITE_SECONDS", 0)
    reporter = Reporter()
    with capture_logs() as logged:
        reporter.hear(Report("stripe"))
        eventually(lambda: len(written) == 1)
        reporter.hear(Report("stripe"))
        eventually(lambda: len(written) == 2)

    assert "hunter2" not in str(logged)
    assert {"provider_status_lost"} <= {each["event"] for each in logged}


def test_an_opening_and_a_closing_are_logged_once_each() -> None:
    reporter = Reporter()
    with capture_logs() as logged:
        for _ in range(3):
            reporter.hear(Report("stripe", failure(), open_seconds=15))
        reporter.hear(Report("stripe"))
        reporter.hear(Report("stripe"))

    events = [each["event"] for each in logged if "breaker" in each["event"]]
    assert events == ["breaker_opened", "breaker_closed"]


FORK = """
import os, threading
from django import setup
setup()
from recovery import provider_status
from slotbase.providers.reports import Report
provider_status.write = lambda news: None
reporter = provider_status.reporter
reporter.hear(Report("stripe"))
if (child := os.fork()) == 0:
    was_alone = not reporter._thread.is_alive() and not reporter._tallies
    reporter.hear(Report("stripe"))
    os._exit(0 if was_alone and reporter._thread.is_alive() else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_starts_with_nothing_of_its_parent() -> None:
    # As Celery's workers do, in a process that has no other threads.
    assert subprocess.run([sys.executable, "-c", FORK], check=False).returncode == 0


def test_every_breaker_of_the_product_is_of_a_known_provider() -> None:
    from slotbase.providers.analytics import client as analytics
    from slotbase.providers.resend import client as resend
    from slotbase.providers.stripe import client as stripe_client

    breakers = (analytics.breaker, resend.breaker, stripe_client.breaker, clerk.breaker)
    assert {each.name for each in breakers} <= set(reports.CONFIGURED_BY)
    assert breaker_module.reports is reports
