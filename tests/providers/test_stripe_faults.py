"""Each fault of Stripe on each call: what is said, and what happened."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from slotbase.lib.errors import Unavailable
from slotbase.providers.breaker import Breaker
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.stripe import client
from tests.providers.stripe_account import (
    an_hour_ago,
    effects,
    fault,
    new_intent,
    new_key,
    paid_intent,
    refund,
    stripe_account,
    summary,
)
from tests.sandbox.client import SandboxClient
from tests.sandbox.stripe_client import wait_until

__all__ = ("stripe_account",)
pytestmark = pytest.mark.usefixtures("stripe_account")
UNKNOWN, NOT_EXECUTED = Outcome.UNKNOWN, Outcome.NOT_EXECUTED


@dataclass
class Write:
    """A call that changes something; `prepare` makes it, given the sandbox."""

    operation: str
    effect: str
    prepare: Callable[[SandboxClient], Callable[[str], Any]]


def _create(_: SandboxClient) -> Callable[[str], Any]:
    return lambda key: new_intent(idempotency_key=key, metadata={"payment_id": "x"})


def _cancel(_: SandboxClient) -> Callable[[str], Any]:
    intent = new_intent()
    return lambda key: client.cancel_intent(intent.id, idempotency_key=key)


def _refund(sandbox: SandboxClient) -> Callable[[str], Any]:
    intent = paid_intent(sandbox)
    return lambda key: refund(intent, idempotency_key=key)


WRITES = [
    Write("payment_intents.create", "payment_intent_created", _create),
    Write("payment_intents.cancel", "payment_intent_canceled", _cancel),
    Write("refunds.create", "refund_created", _refund),
]
READS: dict[str, Callable[[], Any]] = {
    "payment_intents.retrieve": lambda: client.retrieve_intent("pi_1"),
    "payment_intents.list": lambda: [*client.list_intents(created_from=an_hour_ago())],
    "refunds.retrieve": lambda: client.retrieve_refund("re_1"),
    "refunds.list": lambda: client.list_refunds("pi_1"),
    "charges.retrieve": lambda: client.retrieve_charge("ch_1"),
    "disputes.retrieve": lambda: client.retrieve_dispute("du_1"),
    "disputes.list": lambda: client.list_disputes("pi_1"),
    "events.list": lambda: [*client.list_events(created_from=an_hour_ago())],
}
SLOW = {"seconds": 1}


def failure(call: Callable[[], object]) -> ProviderError:
    began = time.monotonic()
    with pytest.raises(ProviderError) as caught:
        call()
    assert time.monotonic() - began < 2
    return caught.value


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.operation)
@pytest.mark.parametrize(
    ("kind", "options", "said", "has_happened"),
    [
        ("4xx", {}, (Outcome.REFUSED, "invalid_request", 400), False),
        ("5xx", {}, (UNKNOWN, "http_error", 500), False),
        ("5xx", {"status": 503}, (UNKNOWN, "http_error", 503), False),
        ("stored_500", {}, (UNKNOWN, "http_error", 500), False),
        ("hang", {}, (UNKNOWN, "no_answer", None), False),
        ("accept_then_hang", {}, (UNKNOWN, "no_answer", None), True),
        ("reset_after_effect", {}, (UNKNOWN, "no_answer", None), True),
        ("malformed", {}, (UNKNOWN, "unreadable_answer", 200), True),
        ("slow", SLOW, (UNKNOWN, "no_answer", None), True),
    ],
)
def test_a_write_that_fails_says_what_is_known_and_has_one_effect_in_the_end(
    sandbox: SandboxClient,
    write: Write,
    kind: str,
    options: dict[str, int],
    said: tuple[str, str, int | None],
    has_happened: bool,
) -> None:
    call, key = write.prepare(sandbox), new_key()
    before = len(effects(sandbox, write.effect))
    fault(sandbox, kind, write.operation, **options)

    error = failure(lambda: call(key))

    assert summary(error) == said
    assert len(effects(sandbox, write.effect)) - before == has_happened
    if kind == "stored_500":
        # That key will never do it.
        assert summary(failure(lambda: call(key))) == said
        key = new_key()
    if kind == "slow":
        again = failure(lambda: call(key))
        assert summary(again) == (UNKNOWN, "idempotency_key_in_use", 409)
        assert again.retry_after == 5
        time.sleep(1.1)  # what the first call was told in the end
    call(key)
    assert len(effects(sandbox, write.effect)) - before == 1


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("4xx", {}, (Outcome.REFUSED, "invalid_request", 400)),
        ("4xx", {"status": 429}, (NOT_EXECUTED, "rate_limit", 429)),
        ("4xx", {"status": 401}, (Outcome.CONFIGURATION, "not_authorised", 401)),
        ("5xx", {}, (NOT_EXECUTED, "http_error", 500)),
        ("hang", {}, (NOT_EXECUTED, "no_answer", None)),
        ("reset_after_effect", {}, (NOT_EXECUTED, "no_answer", None)),
        ("slow", SLOW, (NOT_EXECUTED, "no_answer", None)),
    ],
)
def test_a_read_that_fails_may_be_done_again(
    sandbox: SandboxClient,
    operation: str,
    kind: str,
    options: dict[str, int],
    said: tuple[str, str, int | None],
) -> None:
    fault(sandbox, kind, operation, **options)

    assert summary(failure(READS[operation])) == said


def test_half_of_an_answer_to_a_read_is_none(sandbox: SandboxClient) -> None:
    intent = new_intent()
    fault(sandbox, "malformed", "payment_intents.retrieve")

    error = failure(lambda: client.retrieve_intent(intent.id))

    assert summary(error) == (NOT_EXECUTED, "unreadable_answer", 200)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.operation)
@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (401, Outcome.CONFIGURATION, "not_authorised"),
        (402, Outcome.REFUSED, "card_declined"),
        (403, Outcome.CONFIGURATION, "not_authorised"),
        (404, Outcome.REFUSED, "resource_missing"),
        (409, Outcome.UNKNOWN, "idempotency_key_in_use"),
        (418, Outcome.UNKNOWN, "http_error"),
        (429, Outcome.NOT_EXECUTED, "rate_limit"),
    ],
)
def test_refusals_are_told_apart(
    sandbox: SandboxClient, write: Write, status: int, outcome: Outcome, code: str
) -> None:
    call = write.prepare(sandbox)
    fault(sandbox, "4xx", write.operation, status=status)

    error = failure(lambda: call(new_key()))

    assert summary(error) == (outcome, code, status)
    assert error.retry_after == (5 if status == 409 else None)


def test_nothing_that_stripe_wrote_is_in_the_error_or_the_log(
    sandbox: SandboxClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    fault(sandbox, "4xx", "payment_intents.create")

    error = failure(new_intent)

    assert str(error) == "stripe: refused (invalid_request, HTTP 400)"
    assert error.__suppress_context__
    assert "Invalid request" not in caplog.text
    assert "Court 1" not in caplog.text


def test_after_five_failures_it_is_left_alone(sandbox: SandboxClient) -> None:
    fault(sandbox, "5xx", "payment_intents.create", count=5)
    for _ in range(5):
        assert failure(new_intent).was_tried

    error = failure(new_intent)

    assert (error.outcome, error.code, error.was_tried) == (
        *(NOT_EXECUTED, "breaker_open"),
        False,
    )
    with pytest.raises(Unavailable), client.bulkhead():
        pytest.fail("nobody gets in")
    assert len(sandbox.calls()) == 5


def test_while_a_call_is_on_trial_requests_are_turned_away(
    sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "breaker", Breaker("stripe", 1, open_seconds=0.7))
    fault(sandbox, "hang", "payment_intents.create", count=2)
    failure(new_intent)
    wait_until(lambda: client.breaker.state == "half_open")
    trial = threading.Thread(target=failure, args=(new_intent,))
    trial.start()
    wait_until(lambda: len(sandbox.calls()) == 2)

    with pytest.raises(Unavailable), client.bulkhead():
        new_intent()

    trial.join()
    assert len(sandbox.calls()) == 2


def test_half_of_the_threads_may_wait(settings: Any) -> None:
    settings.WEB_THREADS = 4
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(client.bulkhead())

        with pytest.raises(Unavailable), client.bulkhead():
            pytest.fail("it is full")

    with client.bulkhead():
        assert new_intent()


def test_a_crowd_never_has_more_inside_than_allowed(
    sandbox: SandboxClient, settings: Any
) -> None:
    settings.WEB_THREADS, settings.PROVIDER_TIMEOUT_SECONDS = 6, 5
    fault(sandbox, "slow", "payment_intents.create", count=12, seconds=1)
    turned_away = []

    def ask() -> None:
        try:
            with client.bulkhead():
                new_intent()
        except Unavailable:
            turned_away.append(time.monotonic())

    began = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(turned_away) == 9
    assert max(turned_away) - began < 0.9
    assert len(effects(sandbox, "payment_intent_created")) == 3


def test_an_error_inside_makes_room_again(
    sandbox: SandboxClient, settings: Any
) -> None:
    settings.WEB_THREADS = 2
    fault(sandbox, "5xx", "payment_intents.create")

    with pytest.raises(ProviderError), client.bulkhead():
        new_intent()

    with client.bulkhead():
        assert new_intent()
