"""Back office: who still waits for which event, and who is alive."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from recovery import deliveries, heartbeats
from recovery.models import AuditEntry, Case, EventDelivery, Heartbeat, OutboxEvent
from slotbase.accounts.models import User
from slotbase.lib.clock import read_clock
from tests.factories import make_staff
from tests.recovery.trouble import fail, fail_delivery
from tests.row_queue import delivery_of, publish

pytestmark = pytest.mark.django_db

DELIVERIES = reverse("admin:recovery_eventdelivery_changelist")
EVENTS = reverse("admin:recovery_outboxevent_changelist")
HEARTBEATS = reverse("admin:recovery_heartbeat_changelist")


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga Ober")


@pytest.fixture
def operator(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


def page_of(row: Any) -> str:
    return reverse(f"admin:recovery_{row._meta.model_name}_change", args=[row.pk])


def retry(client: Client, delivery: EventDelivery) -> Any:
    return client.post(page_of(delivery), {"do": "retry"})


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def shown(client: Client, address: str, **query: str) -> list[Any]:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        shown(client, address)
    return len(captured)


# --- Deliveries ---------------------------------------------------------------


def test_a_line_says_who_waits_for_what_and_why(operator: Client) -> None:
    fail_delivery("subject-7")

    page = text(operator, DELIVERIES)

    for words in (
        *("booking.hold.created", "Booking hold", "tester", "badge-dead"),
        "ValueError in tests.recovery.trouble",
    ):
        assert words in page, words


def test_deliveries_filter_by_subscriber_and_state(
    operator: Client, subscribe: Callable[..., Any]
) -> None:
    dead = fail_delivery("1", "ada")
    subscribe("ben", handle=fail)
    publish("2")
    deliveries.deliver_events("ben")
    failing = delivery_of("2")
    publish("3")
    fresh = delivery_of("3")

    assert shown(operator, DELIVERIES) == [fresh, failing, dead]
    assert shown(operator, DELIVERIES, subscriber="ada") == [dead]
    assert shown(operator, DELIVERIES, state="waiting") == [fresh, failing]
    assert shown(operator, DELIVERIES, state="failing") == [failing]
    assert shown(operator, DELIVERIES, state="dead") == [dead]
    assert shown(operator, DELIVERIES, state="done") == []
    assert shown(operator, DELIVERIES, q=str(fresh.event_id)) == [fresh]
    assert shown(operator, DELIVERIES, q="ada") == []


def test_the_backlog_of_each_subscriber_stands_above_the_list(
    operator: Client, subscribe: Callable[..., Any]
) -> None:
    subscribe("ada")
    publish("1", "2")
    subscribe("ben", handle=fail)
    publish("3")
    deliveries.deliver_events("ben")

    backlogs = operator.get(DELIVERIES).context["backlogs"]

    counted = {each.subscriber: (each.waiting, each.failing) for each in backlogs}
    assert (counted["ada"], counted["ben"]) == ((3, 0), (1, 1))
    assert "1 failed before" in text(operator, DELIVERIES)


def test_a_long_backlog_is_not_counted_to_its_end(
    operator: Client, subscribe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "COUNTED", 2)
    subscribe("ada")
    publish("1", "2", "3")

    assert "2 or more waiting" in text(operator, DELIVERIES)


def test_more_deliveries_and_subscribers_cost_no_more_queries(
    operator: Client, subscribe: Callable[..., Any]
) -> None:
    subscribe("ada")
    publish("1")
    few = queries(operator, DELIVERIES)
    for name in ("ben", "cleo"):
        subscribe(name)
    publish("2", "3", "4")

    assert queries(operator, DELIVERIES) == few <= 11


def test_a_dead_delivery_is_tried_again(operator: Client, olga: User) -> None:
    delivery = fail_delivery()

    assert retry(operator, delivery).status_code == 302

    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts) == ("PENDING", 0)
    entry = AuditEntry.objects.get(action="delivery.retried")
    assert entry.actor_id == str(olga.pk)
    assert "Delivery retried" in text(operator, page_of(delivery))
    again = retry(operator, delivery)
    assert again.status_code == 409
    assert "Only a dead delivery" in again.content.decode()


def test_a_delivery_that_arrives_after_all_closes_its_case(
    operator: Client, subscribe: Callable[..., Any]
) -> None:
    delivery = fail_delivery()
    subscribe("tester")
    assert page_of(Case.objects.get()) in text(operator, page_of(delivery))

    retry(operator, delivery)
    deliveries.deliver_events("tester")

    assert EventDelivery.objects.get().status == "DONE"
    assert Case.objects.get().status == "RESOLVED"


def test_only_operations_tries_again(client: Client) -> None:
    delivery = fail_delivery()

    for group in ("support", "auditor"):
        client.force_login(make_staff(group))
        assert client.get(page_of(delivery)).context["row_actions"] == {}
        assert retry(client, delivery).status_code == 403
        assert "retry_selected" not in text(client, DELIVERIES)
    delivery.refresh_from_db()
    assert delivery.status == "DEAD"


def test_many_are_tried_again_at_once(
    operator: Client, subscribe: Callable[..., Any]
) -> None:
    dead = [fail_delivery(str(number)) for number in range(3)]
    subscribe("tester")
    publish("fresh")
    ids = [str(each.pk) for each in (*dead, delivery_of("fresh"))]

    sent = {"action": "retry_selected", "_selected_action": ids}
    page = operator.post(DELIVERIES, sent, follow=True).content.decode()

    assert "3 will be tried again." in page
    assert "1 left alone: Only a dead delivery" in page
    assert set(EventDelivery.objects.values_list("status", flat=True)) == {"PENDING"}


# --- Events -------------------------------------------------------------------


def test_the_page_of_an_event_shows_its_deliveries(operator: Client) -> None:
    delivery = fail_delivery()

    page = text(operator, page_of(delivery.event))

    for words in ("tester", "badge-dead", "ValueError", page_of(delivery)):
        assert words in page, words


def test_events_are_found_by_type_and_by_whole_id(
    operator: Client, subscribe: Callable[..., Any]
) -> None:
    subscribe()
    publish("1")
    publish("2", event="booking.confirmed")
    first, second = OutboxEvent.objects.order_by("pk")

    assert shown(operator, EVENTS) == [second, first]
    assert shown(operator, EVENTS, type="booking.confirmed") == [second]
    assert shown(operator, EVENTS, q=str(first.pk)) == [first]
    assert shown(operator, EVENTS, q="booking") == []


def test_more_events_cost_no_more_queries(operator: Client) -> None:
    publish("1")
    few = queries(operator, EVENTS)
    publish("2", "3", "4")

    assert queries(operator, EVENTS) == few <= 9


def test_what_an_event_says_is_shown_as_text(operator: Client) -> None:
    publish("1")
    evil = "<script>alert(1)</script>"
    OutboxEvent.objects.update(data={"x": evil}, subject_id=evil, type=evil)
    event = OutboxEvent.objects.get()

    for address in (EVENTS, page_of(event)):
        page = text(operator, address)
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page


# --- Heartbeats ---------------------------------------------------------------


def test_the_longest_silent_comes_first_with_its_age(operator: Client) -> None:
    for name in ("worker@a money", "beat@b"):
        heartbeats.record_heartbeat(name)
    ago = read_clock() - timedelta(minutes=7)
    Heartbeat.objects.filter(name="beat@b").update(beat_at=ago)

    assert [each.name for each in shown(operator, HEARTBEATS)] == [
        *("beat@b", "worker@a money"),
    ]
    assert "7\N{NO-BREAK SPACE}min" in text(operator, HEARTBEATS)
    assert "7\N{NO-BREAK SPACE}min" in text(operator, page_of(Heartbeat(pk="beat@b")))


def test_support_does_not_see_heartbeats(client: Client) -> None:
    client.force_login(make_staff("support"))

    assert client.get(HEARTBEATS).status_code == 403
