"""Reports from anywhere: nobody is slowed or fails by them, whatever is away."""

import statistics
import threading
import time
from collections.abc import Callable

import pytest
from django.db import OperationalError, connection, transaction
from structlog.testing import capture_logs

from recovery import alerting, conditions
from recovery.models import Alert, Count
from slotbase.lib.db import retry_on_conflict
from tests.product import eventually

pytestmark = pytest.mark.django_db(transaction=True)
FLOOD = 10_000


def raise_one(number: int = 1) -> None:
    alerting.raise_alert("provider_down", fingerprint=f"t:{number}", title="Trouble")


def write_all(reporter: alerting.Reporter) -> None:
    while reporter._waiting or reporter._lost:
        reporter.write_once()


def seconds_of(call: Callable[[int], None]) -> list[float]:
    """How long each of a flood of calls takes."""
    found = []
    for number in range(FLOOD):
        began = time.perf_counter()
        call(number)
        found.append(time.perf_counter() - began)
    return found


def test_a_report_becomes_an_alert(reporter: alerting.Reporter) -> None:
    raise_one()
    raise_one()
    write_all(reporter)

    alert = Alert.objects.get()
    assert (alert.severity, alert.occurrences) == ("high", 2)


def test_a_thread_writes_what_was_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # also the fixture that keeps the thread from starting
    reporter = alerting.Reporter()

    reporter.add(("provider_down", "t:1", "Trouble"))

    assert reporter.flush(30)
    assert Alert.objects.get().title == "Trouble"


def test_a_report_outlives_the_transaction_that_is_rolled_back(
    reporter: alerting.Reporter,
) -> None:
    with transaction.atomic():
        raise_one()
        transaction.set_rollback(True)
    write_all(reporter)

    assert Alert.objects.count() == 1


def test_10_000_of_one_kind_are_one_alert_with_their_number(
    reporter: alerting.Reporter,
) -> None:
    for _ in range(FLOOD):
        raise_one()
    write_all(reporter)

    assert Alert.objects.get().occurrences == FLOOD


def test_10_000_different_ones_are_bounded_and_an_alert_says_so(
    reporter: alerting.Reporter,
) -> None:
    for number in range(FLOOD):
        raise_one(number)
    assert len(reporter._waiting) == alerting.CAPACITY
    write_all(reporter)
    conditions.check()

    assert Count.objects.get(name="alerts_lost").number == FLOOD - alerting.CAPACITY
    titles = set(Alert.objects.values_list("title", flat=True))
    assert titles == {"Trouble", "There was more to report than could be kept"}


def test_reporting_costs_less_than_the_shortest_statement(
    reporter: alerting.Reporter,
) -> None:
    def ask_the_database(_: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    statement = statistics.median(seconds_of(ask_the_database))

    assert statistics.median(seconds_of(raise_one)) < statement / 2
    assert statistics.median(seconds_of(lambda _: raise_one())) < statement / 2


def test_reporting_waits_for_nobody_while_the_database_hangs(
    reporter: alerting.Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_hanging, goes_on = threading.Event(), threading.Event()

    def hang(_: object) -> None:
        is_hanging.set()
        assert goes_on.wait(60)

    monkeypatch.setattr(alerting, "write", hang)
    raise_one()
    writer = threading.Thread(target=reporter.write_once)
    writer.start()
    assert is_hanging.wait(30)

    for number in range(FLOOD):
        raise_one(number)  # returns, though the writer waits

    goes_on.set()
    writer.join()


def test_what_could_not_be_written_is_written_when_the_database_is_back(
    reporter: alerting.Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    @retry_on_conflict
    def fail(_: object) -> None:
        raise OperationalError("the password is hunter2")

    write = alerting.write
    monkeypatch.setattr(alerting, "write", fail)
    raise_one()
    with capture_logs() as logged:
        reporter.write_once()
        raise_one()
        reporter.write_once()
    assert Alert.objects.count() == 0
    assert [each["event"] for each in logged] == ["reports_not_written"]
    assert "hunter2" not in str(logged)

    monkeypatch.setattr(alerting, "write", write)
    reporter.write_once()

    assert Alert.objects.get().occurrences == 2


def test_a_report_that_nobody_can_write_keeps_no_others_back(
    reporter: alerting.Reporter,
) -> None:
    alerting.raise_alert("c" * 100, fingerprint="x", title="too long a category")
    reporter.write_once()
    raise_one()
    write_all(reporter)

    assert Alert.objects.get().title == "Trouble"
    assert Count.objects.get(name="alerts_lost").number == 1


def test_a_forked_child_does_not_write_what_its_parent_reported(
    reporter: alerting.Reporter,
) -> None:
    raise_one()
    reporter.start_afresh()
    write_all(reporter)

    assert Alert.objects.count() == 0
    assert eventually(lambda: not reporter._waiting)
