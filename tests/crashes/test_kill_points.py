"""`kill -9` at every point at which a process can die, then sweeps only: one effect.

Each test prepares committed rows, lets worker processes die at a failpoint, lets the
time of their leases pass, and sweeps. How it ends does not depend on whether, where or
how often somebody died; `times` is 0 in the run in which nobody does.
"""

import re
from typing import Any

import pytest
import requests

from bookings.models import Booking
from notifications.tasks import send_email
from recovery import inbox, invariants, outbox
from recovery.models import AuditEntry, Case, InboxEvent, OutboxEvent
from recovery.rowqueue import MAX_DEATHS
from recovery.tasks import deliver_events, process_inbox
from slotbase.providers.webhooks import Envelope
from tests.architecture.test_how_it_recovers import (
    POINT,
    points,
    text_of_the_product,
)
from tests.conftest import Sandbox
from tests.crashes.worker import (
    BROKEN,
    CARELESS,
    CONFIRMED,
    FORGETFUL,
    HAPPENED,
    KILLED,
    Workers,
    delivery_to,
    effects,
    end_leases,
    is_settled,
    post_webhook,
)
from tests.factories import make_customer, make_hold
from tests.product import eventually
from tests.providers.signing import payload, signed
from tests.row_queue import publish

pytestmark = pytest.mark.django_db(transaction=True)

DELIVER, PROCESS = "recovery.tasks.deliver_events", "recovery.tasks.process_inbox"
CONFIRM = "tests.crashes.worker.confirm_hold"
CONFIRM_CARELESSLY = "tests.crashes.worker.confirm_and_tell_later"
RECEIVE = "tests.crashes.worker.receive_webhook"

WITH_A_LEASE, SETTLED = ("claimed", "called", "recorded"), "settled"
OF_A_FAILURE = ("claimed", "failed", SETTLED)
PUBLISHED, STORED = "outbox.published", "inbox.stored"
AFTER_COMMIT = "committed"  # one that the workers bring with them
# In test_money_kill_points.py.
QUEUES_OF_MONEY = (
    *("card_payment", "refund", "stripe_events"),
    *("workflow", "email", "profiles", "invariants", "alert"),
    *("comparison", "dead_letter"),
    "push",  # in test_pushes.py
    "erasures",  # in test_erasures.py
    "ai",  # in test_notes.py
)
OF_THE_WAITLIST = "waitlist.passing_on"  # in test_waitlist.py
POINTS_OF_MONEY = (
    "booking.asked",
    "booking.confirming",
    "email.rendered",
    "push.rendered",
    "erasures.erasing",
    "ai.prepared",
)

# Where, how often, and so how many deaths are counted: who dies after the record has
# left no lease, and nothing to do for a second one.
every_point = pytest.mark.parametrize(
    ("point", "times", "deaths"),
    [
        *((point, times, times) for point in WITH_A_LEASE for times in (0, 1, 2)),
        (SETTLED, 1, 0),
    ],
)
once_and_twice = pytest.mark.parametrize("times", [1, 2])


def kill(workers: Workers, point: str, times: int, task: str, **arguments: Any) -> None:
    """So many workers die there, one after the other, and time passes."""
    for _ in range(times):
        end = workers.run(task, failpoints=f"{point}=kill", **arguments)
        assert end == KILLED, f"{task} does not come to {point}"
        end_leases()


def sweep() -> None:
    """What beat asks for, and living workers do; twice, as it goes on for ever."""
    for _ in range(2):
        for name in outbox.subscribers():
            deliver_events(subscriber=name)
        process_inbox()
        send_email()


def journal(sandbox: Sandbox, what: str) -> list[Any]:
    """The calls, or the effects, that analytics had."""
    address = f"{sandbox.url}/_sandbox/{what}?provider=analytics"
    found: list[Any] = requests.get(address, timeout=5).json()[what]
    return found


def sent(sandbox: Sandbox) -> list[str]:
    """The ids of the events that analytics has, as often as it has them."""
    return sorted(each["effect"]["id"] for each in journal(sandbox, "effects"))


def events(**which: Any) -> list[str]:
    """The ids of the events that were published."""
    return sorted(str(each.pk) for each in OutboxEvent.objects.filter(**which))


def require_all_is_well(sandbox: Sandbox) -> None:
    """Nothing is owed, analytics had each event once, and the rules hold."""
    assert is_settled()
    assert sent(sandbox) == events()
    assert invariants.find_violations() == []


def settled(status: str, deaths: int) -> dict[str, Any]:
    """The columns of a row that was done by whoever came after so many deaths."""
    nothing = {"next_run_at": None, "lease_token": None, "lease_until": None}
    tried = {"attempts": deaths + 1, "deaths": deaths}
    return {**nothing, **tried, "status": status, "last_error": ""}


def store(event_type: str, event_id: str = "evt_1") -> None:
    """A webhook came in."""
    inbox.store(
        Envelope(
            provider="stripe",
            event_id=event_id,
            type=event_type,
            created_at=None,
            account="",
            api_version="",
            livemode=False,
            payload={"id": event_id},
        )
    )


def webhook() -> dict[str, Any]:
    """The columns of the one webhook."""
    return InboxEvent.objects.values().get()


def test_every_failpoint_has_its_test() -> None:
    of_the_engine = {
        f"{queue}.{point}"
        for queue in ("outbox", "inbox", *QUEUES_OF_MONEY)
        for point in (*WITH_A_LEASE, *OF_A_FAILURE)
    }

    assert points(text_of_the_product()) == of_the_engine | {
        *(PUBLISHED, STORED, OF_THE_WAITLIST),
        *POINTS_OF_MONEY,
    }


def test_every_failpoint_is_written_so_that_it_is_found() -> None:
    product = text_of_the_product()

    assert len(re.findall(r"(?<!def )\bfailpoint\(", product)) == len(
        POINT.findall(product)
    )


@every_point
def test_an_event_has_its_effect_once(
    workers: Workers, sandbox: Sandbox, point: str, times: int, deaths: int
) -> None:
    publish("a", event=CONFIRMED)

    kill(workers, f"outbox.{point}", times, DELIVER, subscriber="tester")
    sweep()

    assert effects() == ["a"]
    assert delivery_to("tester").items() >= settled("DONE", deaths).items()
    require_all_is_well(sandbox)


@every_point
def test_an_event_is_sent_to_a_provider_that_has_it_once(
    workers: Workers, sandbox: Sandbox, point: str, times: int, deaths: int
) -> None:
    publish("a")

    kill(workers, f"outbox.{point}", times, DELIVER, subscriber="analytics")
    sweep()

    assert len(journal(sandbox, "calls")) == 1 + times * (
        point in {"called", "recorded"}
    )
    assert len(sent(sandbox)) == 1
    assert delivery_to("analytics").items() >= settled("DONE", deaths).items()
    require_all_is_well(sandbox)


def test_a_worker_dies_while_the_provider_answers(
    workers: Workers, sandbox: Sandbox
) -> None:
    fault = {"provider": "analytics", "operation": "event", "fault": "accept_then_hang"}
    sandbox.post("/_sandbox/faults", {**fault, "count": 1})
    publish("a")

    caller = workers.start(DELIVER, subscriber="analytics")
    eventually(lambda: sent(sandbox))
    assert workers.kill(caller) == KILLED
    end_leases()
    sweep()

    assert len(journal(sandbox, "calls")) == 2
    assert delivery_to("analytics").items() >= settled("DONE", deaths=1).items()
    require_all_is_well(sandbox)


@every_point
def test_a_webhook_has_its_effect_once(
    workers: Workers, sandbox: Sandbox, point: str, times: int, deaths: int
) -> None:
    store(HAPPENED)

    kill(workers, f"inbox.{point}", times, PROCESS)
    sweep()

    assert effects() == ["evt_1"]
    assert webhook().items() >= settled("PROCESSED", deaths).items()
    require_all_is_well(sandbox)


@pytest.mark.parametrize("point", OF_A_FAILURE)
def test_an_event_that_gives_up_has_one_case(
    workers: Workers, sandbox: Sandbox, point: str
) -> None:
    publish("a", event=BROKEN)

    kill(workers, f"outbox.{point}", 1, DELIVER, subscriber=BROKEN)
    sweep()

    assert delivery_to(BROKEN)["status"] == "DEAD"
    assert delivery_to(BROKEN)["deaths"] == (point != SETTLED)
    assert Case.objects.get().occurrences == 1
    assert len(events(type="recovery.case_opened")) == 1
    require_all_is_well(sandbox)


@pytest.mark.parametrize("point", OF_A_FAILURE)
def test_a_critical_webhook_that_fails_has_one_case_and_comes_again(
    workers: Workers, sandbox: Sandbox, point: str
) -> None:
    store(BROKEN)

    kill(workers, f"inbox.{point}", 1, PROCESS)
    sweep()

    left = webhook()
    assert (left["status"], left["lease_token"]) == ("RETRY", None)
    assert left["deaths"] == (point != SETTLED)
    assert Case.objects.get().occurrences == 1
    assert sent(sandbox) == events(type="recovery.case_opened")
    assert invariants.find_violations() == []


def test_a_row_that_kills_its_workers_goes_to_a_case(
    workers: Workers, sandbox: Sandbox
) -> None:
    publish("a", event=CONFIRMED)

    kill(workers, "outbox.recorded", MAX_DEATHS, DELIVER, subscriber="tester")
    sweep()

    assert effects() == []
    assert delivery_to("tester")["status"] == "DEAD"
    assert Case.objects.get().cause == "Its worker died three times."
    require_all_is_well(sandbox)


@once_and_twice
def test_a_service_that_dies_before_its_commit_did_nothing_and_told_nobody(
    workers: Workers, sandbox: Sandbox, times: int
) -> None:
    hold = make_hold(customer=make_customer(email="alice@example.com"))
    ids = {"hold": str(hold.pk), "customer": str(hold.customer_id)}

    kill(workers, PUBLISHED, times, CONFIRM, **ids)
    sweep()
    assert Booking.objects.count() == len(events(type=CONFIRMED)) == 0

    assert workers.run(CONFIRM, **ids) == 0  # the customer asks again
    sweep()
    assert effects() == [str(Booking.objects.get().pk)]
    require_all_is_well(sandbox)


def test_what_a_service_committed_is_told_though_it_died_at_once(
    workers: Workers, sandbox: Sandbox
) -> None:
    hold = make_hold(customer=make_customer(email="alice@example.com"))
    ids = {"hold": str(hold.pk), "customer": str(hold.customer_id)}

    kill(workers, AFTER_COMMIT, 1, CONFIRM, **ids)
    assert effects() == []
    sweep()
    assert effects() == [str(Booking.objects.get().pk)]

    assert workers.run(CONFIRM, **ids) == 0  # the customer had no answer
    sweep()
    assert effects() == [str(Booking.objects.get().pk)]
    assert AuditEntry.objects.filter(action="booking.confirmed").count() == 1
    require_all_is_well(sandbox)


@pytest.mark.parametrize(
    ("point", "times", "is_stored"),
    [(STORED, 1, False), (STORED, 2, False), (AFTER_COMMIT, 1, True)],
)
def test_a_web_process_that_dies_before_its_answer_gets_the_webhook_again(
    workers: Workers, sandbox: Sandbox, point: str, times: int, is_stored: bool
) -> None:
    body, headers = signed("stripe", payload("stripe", type=HAPPENED))
    delivery = {"body": body.decode(), "headers": headers}

    kill(workers, point, times, RECEIVE, **delivery)
    assert InboxEvent.objects.exists() is is_stored
    again = post_webhook(**delivery)
    sweep()

    assert again.json() == {"received": True, "duplicate": is_stored}
    assert effects() == [webhook()["event_id"]]
    assert webhook().items() >= settled("PROCESSED", deaths=0).items()
    require_all_is_well(sandbox)


# Positive controls: without its guard, each of these has two effects, or none.


def test_an_effect_outside_of_the_settling_transaction_would_happen_twice(
    workers: Workers,
) -> None:
    publish("a", event=CARELESS)
    store(CARELESS)

    kill(workers, "outbox.called", 1, DELIVER, subscriber=CARELESS)
    kill(workers, "inbox.called", 1, PROCESS)
    sweep()

    assert effects() == ["a", "a", "evt_1", "evt_1"]


def test_a_provider_that_gets_a_new_id_would_have_it_twice(
    workers: Workers, sandbox: Sandbox
) -> None:
    publish("a", event=FORGETFUL)

    kill(workers, "outbox.called", 1, DELIVER, subscriber=FORGETFUL)
    sweep()

    assert len(set(sent(sandbox)) - set(events())) == 2


def test_an_event_outside_of_the_transaction_it_tells_of_would_be_lost(
    workers: Workers,
) -> None:
    kill(workers, AFTER_COMMIT, 1, CONFIRM_CARELESSLY, subject="a")
    sweep()

    assert effects() == ["a"]
    assert events() == []
