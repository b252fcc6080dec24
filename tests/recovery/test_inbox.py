"""The inbox: a stored webhook is processed once, comes again, or needs a person."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from recovery import inbox
from recovery.models import AuditEntry, Case, InboxEvent
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.webhooks import Envelope
from tests.factories import make_staff

pytestmark = pytest.mark.django_db(transaction=True)

TYPE = "tester.happened"


def envelope(event_id: str = "evt_1", **over: Any) -> Envelope:
    fields: dict[str, Any] = {
        "provider": "stripe",
        "event_id": event_id,
        "type": TYPE,
        "created_at": None,
        "account": "",
        "api_version": "2026-01-28",
        "livemode": False,
        "payload": {"id": event_id},
    }
    return Envelope(**{**fields, **over})


@pytest.fixture
def handle() -> Iterator[Callable[..., None]]:
    """Handle webhooks for the time of a test: `handle(apply=..., is_critical=True)`."""
    handlers = []

    def register(**over: Any) -> None:
        fields: dict[str, Any] = {"apply": lambda *_: None, **over}
        handler = inbox.Handler("stripe", frozenset({TYPE}), **fields)
        inbox.register(handler)
        handlers.append(handler)

    yield register
    for handler in handlers:
        inbox.unregister(handler)


def fail(*_: Any) -> None:
    raise ValueError


def the_event() -> InboxEvent:
    return InboxEvent.objects.get()


def process_again() -> None:
    InboxEvent.objects.filter(next_run_at__isnull=False).update(next_run_at=Now())
    inbox.process_inbox()


def supporter() -> User:
    return make_staff("support")


def test_a_webhook_has_its_effect_once(handle: Any) -> None:
    seen: list[str] = []
    handle(apply=lambda event, _: seen.append(event.event_id))
    inbox.store(envelope())
    inbox.store(envelope())

    inbox.process_inbox()
    inbox.process_inbox()

    assert seen == ["evt_1"]
    assert (the_event().status, the_event().attempts) == ("PROCESSED", 1)


def test_the_handler_gets_the_object_as_it_is_now(handle: Any) -> None:
    seen: list[Any] = []

    def fetch(event: InboxEvent) -> str:
        assert not connection.in_atomic_block
        return f"fetched for {event.event_id}"

    handle(fetch=fetch, apply=lambda _, fetched: seen.append(fetched))
    inbox.store(envelope())

    inbox.process_inbox()

    assert seen == ["fetched for evt_1"]


def test_a_failure_comes_again_and_then_succeeds(handle: Any) -> None:
    is_broken = [True]
    handle(apply=lambda *_: fail() if is_broken[0] else None)
    inbox.store(envelope())

    inbox.process_inbox()
    assert the_event().status == "RETRY"
    is_broken[0] = False
    process_again()

    assert (the_event().status, the_event().attempts) == ("PROCESSED", 2)
    assert not Case.objects.exists()


@pytest.mark.case("webhook_failure", "opens")
def test_one_that_always_fails_stands_in_a_case(handle: Any, settings: Any) -> None:
    settings.INBOX_RETRY_SECONDS = [1, 1]
    handle(apply=fail)
    inbox.store(envelope())

    for _ in range(4):
        process_again()

    assert (the_event().status, the_event().attempts) == ("DEAD", 3)
    case = Case.objects.get()
    assert (case.kind, case.severity, case.audience) == (
        "webhook_failure",
        "medium",
        "support",
    )
    assert case.reference == "evt_1"


@pytest.mark.case("webhook_failure", "closes")
def test_a_critical_one_has_its_case_at_once_which_closes_itself(handle: Any) -> None:
    is_broken = [True]
    handle(apply=lambda *_: fail() if is_broken[0] else None, is_critical=True)
    inbox.store(envelope())

    inbox.process_inbox()
    case = Case.objects.get()
    assert (case.status, case.severity) == ("OPEN", "critical")
    is_broken[0] = False
    process_again()

    case.refresh_from_db()
    assert case.status == "RESOLVED"
    assert the_event().status == "PROCESSED"


def test_poison_does_not_keep_the_others_waiting(handle: Any) -> None:
    seen: list[str] = []

    def apply(event: InboxEvent, _: Any) -> None:
        if event.event_id == "evt_poison":
            fail()
        seen.append(event.event_id)

    handle(apply=apply)
    for event_id in ["evt_poison", *(f"evt_{number}" for number in range(100))]:
        inbox.store(envelope(event_id))

    inbox.process_inbox()

    assert len(seen) == 100


def test_a_handler_may_find_that_there_is_nothing_to_do(handle: Any) -> None:
    def apply(*_: Any) -> None:
        raise inbox.Ignored("not one of ours")

    handle(apply=apply)
    inbox.store(envelope())

    inbox.process_inbox()

    assert (the_event().status, the_event().ignored_because) == (
        "IGNORED",
        "not one of ours",
    )


def test_test_data_never_reach_a_live_installation(handle: Any, settings: Any) -> None:
    seen: list[Any] = []
    handle(apply=lambda event, _: seen.append(event))
    settings.STRIPE_LIVEMODE = True
    inbox.store(envelope())

    inbox.process_inbox()

    assert seen == []
    assert the_event().status == "IGNORED"
    assert the_event().ignored_because.startswith("livemode")


def test_the_same_id_of_two_accounts_is_two_webhooks() -> None:
    assert inbox.store(envelope(account="acct_1"))
    assert inbox.store(envelope(account="acct_2"))


def test_staff_replay_what_gave_up(handle: Any, settings: Any) -> None:
    settings.INBOX_RETRY_SECONDS = []
    is_broken, supporter_ = [True], supporter()
    handle(apply=lambda *_: fail() if is_broken[0] else None)
    inbox.store(envelope())
    inbox.process_inbox()
    is_broken[0] = False

    inbox.replay(event_id=the_event().pk, staff_id=supporter_.pk)
    inbox.process_inbox()

    assert the_event().status == "PROCESSED"
    assert Case.objects.get().status == "RESOLVED"
    entry = AuditEntry.objects.get(action="webhook.replayed")
    assert (entry.actor_id, entry.from_state) == (str(supporter_.pk), "DEAD")


def test_what_is_being_processed_is_not_replayed(handle: Any) -> None:
    inbox.store(envelope())

    with pytest.raises(InvalidState):
        inbox.replay(event_id=the_event().pk, staff_id=supporter().pk)


def test_what_has_no_payload_any_more_is_not_replayed() -> None:
    inbox.store(envelope())
    inbox.process_inbox()
    InboxEvent.objects.update(payload=None)

    with pytest.raises(ValidationFailed):
        inbox.replay(event_id=the_event().pk, staff_id=supporter().pk)


def test_staff_ignore_with_a_reason_and_the_case_closes(
    handle: Any, settings: Any
) -> None:
    settings.INBOX_RETRY_SECONDS = []
    handle(apply=fail)
    inbox.store(envelope())
    inbox.process_inbox()
    ids = {"event_id": the_event().pk, "staff_id": supporter().pk}

    with pytest.raises(ValidationFailed):
        inbox.ignore(**ids, reason=" ")
    inbox.ignore(**ids, reason="A test of the provider.")

    assert the_event().status == "IGNORED"
    assert Case.objects.get().status == "RESOLVED"


def test_an_outage_of_the_provider_is_no_reason_to_give_up(handle: Any) -> None:
    def fetch(_: InboxEvent) -> None:
        raise ProviderError(
            Outcome.NOT_EXECUTED, provider="stripe", code="breaker_open"
        )

    handle(fetch=fetch)
    inbox.store(envelope())

    for _ in range(20):
        process_again()

    assert (the_event().status, the_event().attempts) == ("RETRY", 0)


def test_a_provider_that_refuses_us_does_not_stop_the_webhooks_of_another(
    handle: Any,
) -> None:
    is_refused = [True]

    def fetch(_: InboxEvent) -> None:
        if is_refused[0]:
            raise ProviderError(Outcome.CONFIGURATION, provider="stripe", code="401")

    handle(fetch=fetch)
    for number in range(5):
        inbox.store(envelope(f"evt_{number}"))
    inbox.store(envelope("msg_1", provider="clerk", livemode=None))

    inbox.process_inbox()

    assert InboxEvent.objects.get(provider="clerk").status == "IGNORED"
    case = Case.objects.get(kind="provider_configuration")
    assert case.status == "OPEN"
    is_refused[0] = False
    process_again()
    case.refresh_from_db()
    assert case.status == "RESOLVED"


def test_payloads_go_after_their_time_and_keys_stay(settings: Any) -> None:
    inbox.store(envelope("evt_old"))
    inbox.process_inbox()
    inbox.store(envelope("evt_open"))
    settings.INBOX_RETENTION_DAYS = 0

    assert inbox.empty_old_webhooks(limit=10) == 1

    assert InboxEvent.objects.get(event_id="evt_old").payload is None
    assert InboxEvent.objects.get(event_id="evt_open").payload == {"id": "evt_open"}
    assert inbox.store(envelope("evt_old")) is False
