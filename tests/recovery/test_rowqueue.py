"""The row queue: what is due is done, once, and what fails comes again or gives up."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from recovery import outbox
from recovery.deliveries import deliver_events, retry_delivery
from recovery.models import AuditEntry, Case, EventDelivery, OutboxEvent
from recovery.rowqueue import LEASE_SECONDS, MAX_DEATHS
from recovery.states import DeliveryStatus
from slotbase.lib.clock import read_clock
from slotbase.providers.errors import Outcome, ProviderError
from tests.factories import make_customer
from tests.row_queue import delivery_of, make_due, publish

pytestmark = pytest.mark.django_db(transaction=True)


class Broken(Exception):
    pass


def fail(_: Any) -> None:
    raise Broken("the text of an error may hold anything")


def seconds_until_due(delivery: EventDelivery) -> float:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM next_run_at - slotbase_now())"
            " FROM recovery_eventdelivery WHERE id = %s",
            [delivery.pk],
        )
        return float(cursor.fetchone()[0])


def end_lease(delivery: EventDelivery) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE recovery_eventdelivery SET lease_until = slotbase_now()"
            " - interval '1 second' WHERE id = %s",
            [delivery.pk],
        )


def test_what_is_due_is_done_once(subscribe: Any) -> None:
    seen: list[str] = []
    subscribe(handle=lambda event: seen.append(event.subject_id))
    publish("a", "b")

    assert deliver_events("tester") == 2
    assert deliver_events("tester") == 0

    assert sorted(seen) == ["a", "b"]
    assert {each.status for each in EventDelivery.objects.all()} == {"DONE"}


def test_an_event_commits_with_what_it_tells_of_or_not_at_all(subscribe: Any) -> None:
    subscribe()

    @transaction.atomic
    def publish_and_fail() -> None:
        outbox.publish("booking.hold.created", subject="hold", facts={"a": {}})
        fail(None)

    with pytest.raises(Broken):
        publish_and_fail()

    assert OutboxEvent.objects.count() == EventDelivery.objects.count() == 0


def test_only_the_events_that_were_asked_for_are_delivered(subscribe: Any) -> None:
    subscribe(events=frozenset({"booking.confirmed"}))
    publish("a", event="booking.confirmed")
    publish("b", event="booking.cancelled")

    assert EventDelivery.objects.get().event.subject_id == "a"


def test_a_failure_undoes_its_effect_and_comes_again_later(subscribe: Any) -> None:
    customer = make_customer()

    def rename_and_fail(event: Any) -> None:
        type(customer).objects.filter(pk=customer.pk).update(name="half done")
        fail(event)

    subscribe(handle=rename_and_fail, retry_seconds=lambda: [60])
    publish("a")

    deliver_events("tester")

    customer.refresh_from_db()
    delivery = delivery_of("a")
    assert customer.name != "half done"
    assert (delivery.status, delivery.attempts) == ("PENDING", 1)
    assert 45 < seconds_until_due(delivery) < 75


def test_an_error_is_told_without_its_text(subscribe: Any) -> None:
    subscribe(handle=fail)
    publish("a")

    deliver_events("tester")

    assert delivery_of("a").last_error.startswith("Broken in tests.recovery")
    assert "anything" not in delivery_of("a").last_error


@pytest.mark.case("dead_letter", "opens")
def test_after_its_last_attempt_it_gives_up_and_has_a_case(subscribe: Any) -> None:
    subscribe(handle=fail, retry_seconds=lambda: [1, 1])
    publish("a")

    for _ in range(5):
        deliver_events("tester")
        make_due()

    delivery = delivery_of("a")
    assert (delivery.status, delivery.attempts) == ("DEAD", 3)
    case = Case.objects.get()
    assert (case.kind, case.subject_id) == ("dead_letter", str(delivery.pk))
    assert case.status == "OPEN"


@pytest.mark.case("dead_letter", "closes")
def test_staff_retry_what_gave_up_and_its_case_closes_itself(subscribe: Any) -> None:
    is_broken = [True]
    subscribe(
        handle=lambda event: fail(event) if is_broken[0] else None,
        retry_seconds=list,
    )
    publish("a")
    deliver_events("tester")
    is_broken[0] = False

    retry_delivery(delivery_id=delivery_of("a").pk, staff_id=make_customer().pk)
    deliver_events("tester")

    assert delivery_of("a").status == DeliveryStatus.DONE
    assert Case.objects.get().status == "RESOLVED"


def test_what_nobody_misses_is_dropped_without_a_case(subscribe: Any) -> None:
    subscribe(handle=fail, retry_seconds=list, is_expendable=True)
    publish("a")

    deliver_events("tester")

    assert delivery_of("a").status == DeliveryStatus.DROPPED
    assert not Case.objects.exists()


def test_a_refusal_for_good_is_not_tried_again(subscribe: Any) -> None:
    def refuse(_: Any) -> None:
        raise ProviderError(Outcome.REFUSED, provider="analytics", code="no")

    subscribe(call=refuse)
    publish("a")

    deliver_events("tester")

    assert (delivery_of("a").status, delivery_of("a").attempts) == ("DEAD", 1)


def test_a_provider_that_says_when_is_asked_then_and_not_before(
    subscribe: Any,
) -> None:
    def busy(_: Any) -> None:
        raise ProviderError(
            Outcome.NOT_EXECUTED, provider="analytics", code="busy", retry_after=300
        )

    subscribe(call=busy)
    publish(*"abcdefgh")  # whoever came a little early by chance would be among them
    asked_at = read_clock()

    deliver_events("tester")

    due = [each.next_run_at for each in EventDelivery.objects.all()]
    waits = [moment - asked_at for moment in due if moment is not None]
    assert len(waits) == 8
    assert min(waits) >= timedelta(seconds=300)
    assert max(waits) < timedelta(seconds=370)


@pytest.mark.parametrize(
    ("retry_after", "usual", "wait"),
    [(1, 60, 60), (300, 5, 300), (None, 7200, 7200), (99_999, 7200, 7200), (1, 0, 1)],
)
def test_nobody_is_asked_sooner_than_is_usual_nor_much_later(
    subscribe: Any, retry_after: int | None, usual: int, wait: int
) -> None:
    """A provider may ask for an hour at most; what is usual may be longer."""

    def busy(_: Any) -> None:
        raise ProviderError(
            Outcome.UNKNOWN, provider="acme", code="busy", retry_after=retry_after
        )

    subscribe(call=busy, retry_seconds=lambda: [usual])
    publish("a")

    deliver_events("tester")

    assert wait * 0.7 - 1 < seconds_until_due(delivery_of("a")) <= wait * 1.2


@pytest.mark.case("provider_configuration", "opens")
@pytest.mark.case("provider_configuration", "closes")
def test_wrong_credentials_stop_the_queue_until_a_call_succeeds(subscribe: Any) -> None:
    calls: list[str] = []
    is_refused = [True]

    def call(event: OutboxEvent) -> None:
        calls.append(event.subject_id)
        if is_refused[0]:
            raise ProviderError(Outcome.CONFIGURATION, provider="acme", code="401")

    subscribe(call=call, provider="acme", retry_seconds=list)
    publish("a", "b", "c")

    deliver_events("tester")
    deliver_events("tester")

    assert len(calls) == 1
    case = Case.objects.get()
    assert (case.kind, case.severity) == ("provider_configuration", "critical")
    assert {each.attempts for each in EventDelivery.objects.all()} == {0}

    is_refused[0] = False
    Case.objects.update(last_seen_at="2000-01-01T00:00Z")
    make_due()
    deliver_events("tester")

    assert len(calls) == 4
    case.refresh_from_db()
    assert case.status == "RESOLVED"


def test_a_call_that_the_breaker_kept_back_does_not_count(subscribe: Any) -> None:
    calls = []

    def kept_back(event: Any) -> None:
        calls.append(event)
        raise ProviderError(
            Outcome.NOT_EXECUTED, provider="acme", code="breaker_open", retry_after=15
        )

    subscribe(call=kept_back, provider="acme", retry_seconds=list)
    publish("a", "b")

    deliver_events("tester")

    assert len(calls) == 1
    assert {each.attempts for each in EventDelivery.objects.all()} == {0}
    assert {each.status for each in EventDelivery.objects.all()} == {"PENDING"}


def claim(**_: Any) -> EventDelivery:
    from recovery.deliveries import queue_of
    from recovery.outbox import subscribers
    from recovery.rowqueue import _claim

    row = _claim(
        queue_of(subscribers()["tester"]),
        {"subscriber": "tester"},
        due_before=read_clock(),
    )
    assert row is not None
    return row


def test_a_row_under_a_lease_is_left_to_its_worker(subscribe: Any) -> None:
    subscribe()
    publish("a")
    claim()

    assert deliver_events("tester") == 0


def test_a_lease_that_ran_out_is_taken_over_and_counted(subscribe: Any) -> None:
    subscribe()
    publish("a")
    end_lease(claim())

    assert deliver_events("tester") == 1

    delivery = delivery_of("a")
    assert (delivery.status, delivery.deaths, delivery.attempts) == ("DONE", 1, 2)


def test_a_row_that_kills_its_workers_goes_to_a_case(subscribe: Any) -> None:
    seen: list[Any] = []
    subscribe(handle=seen.append)
    publish("a")
    for _ in range(MAX_DEATHS):
        end_lease(claim())

    deliver_events("tester")

    assert seen == []
    assert delivery_of("a").status == DeliveryStatus.DEAD
    assert Case.objects.get().cause == "Its worker died three times."


def test_a_late_record_is_refused_and_audited(subscribe: Any) -> None:
    seen: list[str] = []

    def sleep_too_long(event: OutboxEvent) -> None:
        if seen:
            return
        seen.append("slow")
        end_lease(delivery_of("a"))
        deliver_events("tester")  # somebody else takes over and is done first

    subscribe(call=sleep_too_long, handle=lambda _: seen.append("effect"))
    publish("a")

    deliver_events("tester")

    # The late one ran its handler, too, but in a transaction that was rolled back.
    assert seen == ["slow", "effect", "effect"]
    assert delivery_of("a").status == DeliveryStatus.DONE
    entry = AuditEntry.objects.get(action="late_record_refused")
    assert (entry.actor_id, entry.subject_id) == ("outbox", str(delivery_of("a").pk))


def test_a_lease_lasts_longer_than_a_task(subscribe: Any, settings: Any) -> None:
    subscribe()
    publish("a")

    row = claim()

    assert row.lease_until is not None
    assert LEASE_SECONDS > settings.CELERY_TASK_TIME_LIMIT
