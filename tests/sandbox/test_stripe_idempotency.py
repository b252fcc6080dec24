"""One key, one effect, one answer, as version 1 of Stripe's API has it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import stripe

from tests.sandbox.client import OwnSandbox
from tests.sandbox.stripe_client import (
    effects,
    new_intent,
    paid_intent,
    raw,
    stripe_of,
    tell,
    wait_until,
)

INTENT = "amount=5000&currency=eur"


def create(sandbox: OwnSandbox, key: str, body: str = INTENT, **headers: str) -> Any:
    headers = {"Idempotency_Key": key, **headers}
    return raw(sandbox, "POST", "payment_intents", body, **headers)


def made(sandbox: OwnSandbox) -> int:
    return len(effects(sandbox, "payment_intent_created"))


def test_a_repeat_is_answered_as_before_and_does_nothing(sandbox: OwnSandbox) -> None:
    first, second = create(sandbox, "k"), create(sandbox, "k")

    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Idempotency-Key"] == "k"
    assert second.headers["Original-Request"] == first.headers["Request-Id"]
    assert second.headers["Request-Id"] != first.headers["Request-Id"]
    assert made(sandbox) == 1


def test_a_replay_is_the_answer_of_then_not_the_state_of_now(
    sandbox: OwnSandbox,
) -> None:
    intent = create(sandbox, "k").json()
    tell(sandbox, "pay", payment_intent=intent["id"], outcome="succeed")

    assert create(sandbox, "k").json()["status"] == "requires_payment_method"


def test_the_order_of_parameters_does_not_matter(sandbox: OwnSandbox) -> None:
    first = create(sandbox, "k", "amount=5000&currency=eur")
    second = create(sandbox, "k", "currency=eur&amount=5000")

    assert first.json() == second.json()


def test_other_parameters_are_refused(sandbox: OwnSandbox) -> None:
    create(sandbox, "k")
    client = stripe_of(sandbox)

    with pytest.raises(stripe.IdempotencyError) as caught:
        client.v1.payment_intents.create(
            {"amount": 5001, "currency": "eur"}, {"idempotency_key": "k"}
        )

    assert caught.value.http_status == 400
    assert caught.value.error.type == "idempotency_error"
    assert "with the same parameters" in caught.value.user_message
    assert made(sandbox) == 1


def test_another_address_is_refused(sandbox: OwnSandbox) -> None:
    intent = create(sandbox, "k").json()["id"]

    answer = raw(
        sandbox, "POST", f"payment_intents/{intent}/cancel", Idempotency_Key="k"
    )

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "idempotency_error")
    assert f"('/v1/payment_intents/{intent}/cancel' vs '/v1/pay" in error["message"]
    assert effects(sandbox, "payment_intent_canceled") == []


def test_without_a_key_everything_happens_again(sandbox: OwnSandbox) -> None:
    ids = {raw(sandbox, "POST", "payment_intents", INTENT).json()["id"] for _ in "ab"}

    assert len(ids) == made(sandbox) == 2


def test_get_ignores_keys(sandbox: OwnSandbox) -> None:
    for _ in range(2):
        new_intent(sandbox)
        answer = raw(sandbox, "GET", "payment_intents", Idempotency_Key="k")

    assert len(answer.json()["data"]) == 2
    assert "Idempotent-Replayed" not in answer.headers


def test_what_did_not_begin_leaves_the_key_free(sandbox: OwnSandbox) -> None:
    sandbox.post(
        "/_sandbox/faults",
        {
            "provider": "stripe",
            "operation": "*",
            "fault": "4xx",
            "status": 429,
            "count": 1,
        },
    )
    refused = [
        create(sandbox, "k"),
        create(sandbox, "k", Authorization="Bearer wrong"),
        create(sandbox, "k", "amount=1&currency=eur"),
        create(sandbox, "k", "amount=5000&currency=eur&nonsense=1"),
    ]

    answer = create(sandbox, "k")

    assert [each.status_code for each in refused] == [429, 401, 400, 400]
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_what_was_refused_once_begun_stays_refused(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox)

    def refund() -> Any:
        body = f"payment_intent={intent.id}"
        return raw(sandbox, "POST", "refunds", body, Idempotency_Key="r")

    first = refund()
    tell(sandbox, "pay", payment_intent=intent.id, outcome="succeed")
    second = refund()

    assert first.status_code == second.status_code == 400
    assert second.headers["Idempotent-Replayed"] == "true"
    assert effects(sandbox, "refund_created") == []


def test_an_expired_key_makes_a_new_object(sandbox: OwnSandbox) -> None:
    first, other = create(sandbox, "k").json()["id"], create(sandbox, "o").json()["id"]

    told = tell(sandbox, "idempotency", expire="k")

    assert told == {"expired": 1}
    second = create(sandbox, "k")
    assert second.json()["id"] != first
    assert "Idempotent-Replayed" not in second.headers
    assert create(sandbox, "o").json()["id"] == other
    assert tell(sandbox, "idempotency", expire="all") == {"expired": 2}
    assert create(sandbox, "o").json()["id"] != other
    assert tell(sandbox, "idempotency", expire="nobody") == {"expired": 0}


def test_reset_forgets_keys(sandbox: OwnSandbox) -> None:
    create(sandbox, "k")
    sandbox.reset()

    assert "Idempotent-Replayed" not in create(sandbox, "k").headers


def test_a_key_has_at_most_255_characters(sandbox: OwnSandbox) -> None:
    assert create(sandbox, "k" * 255).status_code == 200
    assert create(sandbox, "k" * 256).status_code == 400
    assert made(sandbox) == 1


def test_while_the_first_is_in_flight_repeats_are_409(sandbox: OwnSandbox) -> None:
    fault = {"provider": "stripe", "operation": "payment_intents.create"}
    sandbox.post(
        "/_sandbox/faults", {**fault, "fault": "slow", "seconds": 1, "count": 1}
    )
    with ThreadPoolExecutor() as pool:
        first = pool.submit(create, sandbox, "k")
        wait_until(lambda: made(sandbox))
        with pytest.raises(stripe.APIError) as caught:
            stripe_of(sandbox).v1.payment_intents.create(
                {"amount": 5000, "currency": "eur"}, {"idempotency_key": "k"}
            )
        other = create(sandbox, "other")

    assert caught.value.http_status == 409
    assert caught.value.error.code == "idempotency_key_in_use"
    assert caught.value.headers["Stripe-Should-Retry"] == "true"
    assert other.status_code == 200
    repeat = create(sandbox, "k")
    assert repeat.content == first.result().content
    assert repeat.headers["Idempotent-Replayed"] == "true"
    assert made(sandbox) == 2


def test_of_50_at_once_with_one_key_one_makes_something(sandbox: OwnSandbox) -> None:
    barrier = Barrier(50)

    def create_at_once(_: int) -> Any:
        barrier.wait()
        return create(sandbox, "k")

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create_at_once, range(50)))

    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["id"] for each in answers}) == 1
    assert sum("Idempotent-Replayed" not in each.headers for each in answers) == 1
    assert made(sandbox) == 1


def test_of_50_refunds_at_once_with_keys_of_their_own_one_succeeds(
    sandbox: OwnSandbox,
) -> None:
    """The control of the test above: without a common key Stripe's cap must hold."""
    intent = paid_intent(sandbox)

    def refund(number: int) -> int:
        body, key = f"payment_intent={intent.id}", f"k{number}"
        return raw(sandbox, "POST", "refunds", body, Idempotency_Key=key).status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(refund, range(50)))

    assert sorted(statuses) == [200] + [400] * 49
    assert len(effects(sandbox, "refund_created")) == 1
