"""What no row tells is looked for: who is silent, what waits, what fails often."""

from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest
from django.test import Client

from recovery import (
    alerting,
    alerts,
    conditions,
    counts,
    heartbeats,
    lookout,
    severities,
)
from recovery.alerts import Report
from recovery.heartbeats import QUEUES
from recovery.models import Alert, Count, EventDelivery, Heartbeat, NoticeDelivery
from recovery.outbox import Subscriber
from slotbase.lib import tally, watch
from slotbase.lib.clock import Now, read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import Unavailable
from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from tests.adversity import Clock
from tests.recovery.alarm import Sink, make_due, sound, tell
from tests.recovery.trouble import fail, open_case, store_webhook
from tests.row_queue import publish

pytestmark = pytest.mark.django_db(transaction=True)


def alive(*, beat: bool = True, queues: Iterable[str] = QUEUES) -> None:
    if beat:
        heartbeats.record_heartbeat("beat@host")
    for queue in queues:
        heartbeats.record_heartbeat(f"worker1@host {queue}")


def open_alerts() -> dict[str, str]:
    """Title of each alert that is not over, by its fingerprint."""
    found = Alert.objects.exclude(status="RESOLVED")
    return {alert.fingerprint: alert.title for alert in found}


def look() -> set[str]:
    conditions.check()
    return set(open_alerts())


@retry_on_conflict
def add(name: str, number: int) -> None:
    counts.add({name: number})


def test_all_is_well() -> None:
    alive()
    publish("7")
    store_webhook()

    assert look() == set()


def test_a_fresh_installation_has_no_alerts() -> None:
    assert look() == set()


def test_a_silent_beat_is_told_of_within_three_minutes_and_alone(clock: Clock) -> None:
    alive()
    clock.move(seconds=110)
    assert look() == set()

    clock.move(seconds=20)

    assert look() == {"beat_silent:beat"}


def test_a_queue_that_nobody_serves_is_told_of(clock: Clock) -> None:
    alive()
    heartbeats.record_heartbeat("worker2@host money")
    clock.move(seconds=100)
    alive(queues=set(QUEUES) - {"money"})

    assert look() == {"worker_silent:money"}
    assert open_alerts() == {"worker_silent:money": "No worker serves the queue money"}


def test_a_queue_that_never_had_a_worker_is_told_of_when_beat_has_lived_for_a_while(
    clock: Clock,
) -> None:
    heartbeats.record_start_of_beat("host")
    clock.move(seconds=80)
    alive(queues=set(QUEUES) - {"money"})
    assert look() == set()

    clock.move(seconds=30)
    # Beat was started anew, which excuses nobody.
    heartbeats.record_start_of_beat("host")
    alive(queues=set(QUEUES) - {"money"})

    assert look() == {"worker_silent:money"}


def test_the_alert_stays_when_the_last_worker_of_a_queue_is_forgotten(
    clock: Clock,
) -> None:
    alive()
    for hours in (1, 24):
        clock.move(hours=hours)
        alive(queues=set(QUEUES) - {"money"})
        heartbeats.forget_old_heartbeats()
        assert look() == {"worker_silent:money"}
    assert not Heartbeat.objects.filter(name__endswith=" money").exists()

    alive()
    clock.move(minutes=2)
    alive()
    assert look() == set()


def test_a_worker_that_is_gone_is_no_alert_if_another_serves_its_queue(
    clock: Clock,
) -> None:
    alive()
    clock.move(seconds=100)
    heartbeats.record_heartbeat("beat@host")
    for queue in QUEUES:
        heartbeats.record_heartbeat(f"worker2@host {queue}")

    assert look() == set()


def test_an_event_that_nobody_delivers_is_told_of(
    subscribe: Callable[..., Subscriber], clock: Clock
) -> None:
    subscribe("tester")
    subscribe("careless", is_expendable=True)
    publish("7")
    clock.move(seconds=121)

    assert look() == {"outbox_lag:tester"}


def test_an_event_that_somebody_works_on_does_not_lag(
    subscribe: Callable[..., Subscriber], clock: Clock
) -> None:
    subscribe("tester")
    publish("7")
    clock.move(seconds=121)
    EventDelivery.objects.update(
        lease_token="00000000-0000-7000-8000-000000000001",
        lease_until=read_clock() + timedelta(seconds=30),
    )

    assert look() == set()


def test_a_webhook_that_nobody_processes_is_told_of(clock: Clock) -> None:
    store_webhook()
    clock.move(seconds=121)

    assert look() == {"inbox_lag:webhooks"}


def test_many_forged_webhooks_are_told_of(
    client: Client, reporter: alerting.Reporter
) -> None:
    for _ in range(21):
        answer = client.post("/webhooks/stripe/", b"{}", "application/json")
        assert answer.status_code == 400
    reporter.write_once()

    assert look() == {"bad_signatures:stripe"}


def test_twenty_forged_webhooks_in_a_minute_are_none_to_tell_of(clock: Clock) -> None:
    add("bad_signature:stripe", 20)
    clock.move(minutes=1)
    add("bad_signature:stripe", 20)

    assert look() == set()


def test_a_provider_whose_breaker_opens_again_and_again_is_told_of(
    reporter: alerting.Reporter,
) -> None:
    breaker = Breaker("stripe", failures=1, open_seconds=0)
    other = Breaker("clerk", failures=1)
    for each in (breaker, breaker, breaker, other):
        with pytest.raises(ProviderError), each:
            raise ProviderError(Outcome.UNKNOWN, provider=each.name, code="x")
    reporter.write_once()

    assert look() == {"provider_down:stripe"}


def test_nobody_is_woken_for_a_provider_that_is_not_needed(
    reporter: alerting.Reporter,
) -> None:
    """F88: what OpenAI would make better stays as it is."""
    for _ in range(3):
        add("breaker_opened:openai", 1)
    assert look() == set()

    for _ in range(3):
        add("breaker_opened:resend", 1)

    assert look() == {"provider_down:resend"}


def test_contention_that_lasts_is_told_of(clock: Clock) -> None:
    for _ in range(9):
        add("transaction_conflict", 2)
        clock.move(minutes=1)
    assert look() == set()

    add("transaction_conflict", 2)

    assert look() == {"database_contention:database"}


def test_mails_that_fail_are_told_of() -> None:
    add("mail_failed", 9)
    assert look() == set()

    add("mail_failed", 1)

    assert look() == {"mails_failing:mails"}


def test_events_for_analytics_that_fail_are_a_low_alert(
    subscribe: Callable[..., Subscriber],
) -> None:
    from recovery import deliveries

    subscribe("careless", is_expendable=True, handle=fail)
    publish("7")
    deliveries.deliver_events("careless")

    assert look() == {"analytics_behind:careless"}
    assert Alert.objects.get().severity == "low"


def test_a_channel_that_takes_no_alerts_is_told_of_by_the_other(
    both: Sink, clock: Clock
) -> None:
    both.fails("5xx", count=None)
    sound(severity="high")
    tell()
    clock.move(minutes=6)

    assert "alert_channel:webhook" in look()
    tell()
    assert "Alerts do not go out by webhook" in str(both.taken("resend"))

    both.works()
    make_due()
    tell()
    clock.move(minutes=3)
    assert "alert_channel:webhook" not in look()


def test_a_lost_notice_is_told_of(sink: Sink) -> None:
    sink.fails("4xx", status=400)
    sound(severity="high")
    tell()
    assert NoticeDelivery.objects.get().status == "FAILED"

    assert "alert_channel:webhook" in look()


def test_what_is_so_no_more_is_over_after_its_quiet_time(clock: Clock) -> None:
    alive()
    clock.move(minutes=3)
    assert look() == {"beat_silent:beat"}
    alive()
    assert look() == {"beat_silent:beat"}

    clock.move(minutes=2)
    alive()

    assert look() == set()


def test_what_lasts_is_one_alert_however_often_it_is_looked_for(clock: Clock) -> None:
    alive()
    clock.move(minutes=3)
    for _ in range(10):
        assert look() == {"beat_silent:beat"}
        clock.move(minutes=1)

    assert Alert.objects.get().occurrences == 1
    assert Alert.objects.get().status == "OPEN"


def test_a_condition_that_cannot_be_looked_for_hides_no_other(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    finders = dict(conditions.registered())
    finders["outbox_lag"] = conditions._of("SELECT 1/0", "x")
    monkeypatch.setattr(conditions, "_finders", finders)
    alive()
    clock.move(minutes=3)

    assert look() == {"beat_silent:beat"}


def test_a_busy_database_at_one_condition_hides_no_other(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_busy() -> conditions.Found:
        raise Unavailable("The database is busy.")

    finders = {"a": is_busy, **conditions.registered(), "inbox_lag": is_busy}
    monkeypatch.setattr(conditions, "_finders", finders)
    alive()
    clock.move(minutes=3)

    assert look() == {"beat_silent:beat"}


def test_what_nobody_looks_for_any_more_is_over_when_quiet_for_an_hour(
    clock: Clock,
) -> None:
    gone = Report("renamed_condition", "renamed_condition:x", "It is x")
    alerts.raise_alerts([gone])
    case = open_case()
    alerts.follow_cases()
    clock.move(minutes=59)
    assert look() == {"renamed_condition:x", f"case:{case.pk}"}

    clock.move(minutes=2)

    assert look() == {f"case:{case.pk}"}
    assert Alert.objects.get(category="renamed_condition").status == "RESOLVED"


def test_every_condition_has_its_category_and_is_looked_for() -> None:
    assert set(conditions.registered()) == set(severities.CONDITIONS)


def test_a_web_process_looks_and_tells_without_beat_and_workers(
    sink: Sink, clock: Clock
) -> None:
    alive()
    clock.move(minutes=3)

    watch.run_once(watch.registered()["alerts"])

    assert sink.titles() == ["[high] Beat has been silent for two minutes"]


def test_counts_of_all_processes_add_up_and_are_forgotten(clock: Clock) -> None:
    add("mail_failed", 2)
    add("mail_failed", 3)
    assert sum(Count.objects.values_list("number", flat=True)) == 5

    clock.move(days=2)
    counts.forget_old_counts()

    assert Count.objects.count() == 0


def test_conflicts_of_transactions_are_counted(reporter: alerting.Reporter) -> None:
    tally.count("transaction_conflict")
    tally.count("transaction_conflict")
    reporter.write_once()

    assert Count.objects.get().number == 2
    assert lookout.WATCH_SECONDS < 60
    assert Heartbeat.objects.filter(beat_at__gt=Now()).count() == 0
