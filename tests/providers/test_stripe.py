"""The client of Stripe against the sandbox, when all is well."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.stripe import client
from slotbase.providers.stripe.client import Patience
from slotbase.sandbox.stripe.account import API_VERSION
from tests.providers.stripe_account import (
    an_hour_ago,
    effects,
    new_intent,
    new_key,
    paid_intent,
    pay,
    refund,
    stripe_account,
    summary,
    tell,
)
from tests.sandbox.client import SandboxClient, free_port

__all__ = ("stripe_account",)
pytestmark = pytest.mark.usefixtures("stripe_account")


def refusal(call: Callable[[], object]) -> tuple[str, str, int | None]:
    with pytest.raises(ProviderError) as caught:
        call()
    return summary(caught.value)


def test_an_intent_is_made_as_it_was_asked_for(sandbox: SandboxClient) -> None:
    intent = new_intent()

    (effect,) = effects(sandbox, "payment_intent_created")
    assert (effect["amount"], effect["currency"]) == (5000, "eur")
    assert effect["metadata"] == intent.metadata == {"payment_id": "p1"}
    assert (intent.amount_minor, intent.received_minor) == (5000, 0)
    assert (intent.currency, intent.status) == ("EUR", "requires_payment_method")
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    assert (intent.charge_id, intent.decline_code, intent.livemode) == ("", "", False)
    assert abs(datetime.now(UTC) - intent.created_at) < timedelta(seconds=5)


def test_the_client_secret_is_not_in_what_logs_show() -> None:
    intent = new_intent()

    assert intent.client_secret not in repr(intent)


def test_the_same_key_makes_one_intent(sandbox: SandboxClient) -> None:
    key = new_key()

    assert new_intent(idempotency_key=key) == new_intent(idempotency_key=key)
    assert len(effects(sandbox, "payment_intent_created")) == 1


@pytest.mark.parametrize("write", [new_intent, refund])
def test_nothing_is_written_without_a_key(
    sandbox: SandboxClient, write: Callable[..., object]
) -> None:
    given = [paid_intent(sandbox)] if write is refund else []
    before = len(sandbox.calls())

    with pytest.raises(ValueError, match="key"):
        write(*given, idempotency_key="")

    assert len(sandbox.calls()) == before


def test_the_same_key_for_something_else_is_refused(sandbox: SandboxClient) -> None:
    key = new_key()
    new_intent(idempotency_key=key)

    said = refusal(lambda: new_intent(idempotency_key=key, amount_minor=5001))

    assert said == (Outcome.REFUSED, "idempotency_key_reused", 400)


@pytest.mark.parametrize(
    ("amount", "currency", "at_stripe"),
    [
        (5000, "JPY", 5000),
        (5000, "ISK", 500_000),
        (500_000, "MGA", 5000),
        (12340, "KWD", 12340),
    ],
)
def test_amounts_are_counted_as_stripe_does_and_back(
    sandbox: SandboxClient, amount: int, currency: str, at_stripe: int
) -> None:
    intent = paid_intent(sandbox, amount_minor=amount, currency=currency)
    back = refund(intent, amount)

    for kind in ("payment_intent_created", "refund_created"):
        assert effects(sandbox, kind)[0]["amount"] == at_stripe
    assert (intent.amount_minor, intent.received_minor) == (amount, amount)
    assert (back.amount_minor, back.currency) == (amount, currency)


def test_a_paid_intent_says_what_was_received(sandbox: SandboxClient) -> None:
    intent = paid_intent(sandbox)

    assert (intent.status, intent.received_minor) == ("succeeded", 5000)
    charge = client.retrieve_charge(intent.charge_id)
    assert charge.payment_intent_id == intent.id
    assert (charge.amount_minor, charge.refunded_minor) == (5000, 0)
    assert (charge.currency, charge.disputed) == ("EUR", False)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("decline", "card_declined"), ("insufficient_funds", "insufficient_funds")],
)
def test_a_declined_card_has_a_code(
    sandbox: SandboxClient, outcome: str, code: str
) -> None:
    intent = new_intent()
    pay(sandbox, intent, outcome)

    assert client.retrieve_intent(intent.id).decline_code == code


def test_a_canceled_intent_cannot_be_canceled_again(sandbox: SandboxClient) -> None:
    intent = new_intent()

    canceled = client.cancel_intent(intent.id, idempotency_key=new_key())

    assert canceled.status == "canceled"
    assert len(effects(sandbox, "payment_intent_canceled")) == 1
    again = refusal(lambda: client.cancel_intent(intent.id, idempotency_key=new_key()))
    assert again == (Outcome.REFUSED, "payment_intent_unexpected_state", 400)


@pytest.mark.parametrize(
    "retrieve",
    [
        client.retrieve_intent,
        client.retrieve_refund,
        client.retrieve_charge,
        client.retrieve_dispute,
        client.list_refunds,
        client.list_disputes,
    ],
)
def test_what_is_not_there_is_refused_as_missing(
    retrieve: Callable[[str], object],
) -> None:
    said = refusal(lambda: retrieve("xx_nothing"))

    assert said == (Outcome.REFUSED, "resource_missing", 404)


def test_intents_are_listed_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    made = [new_intent() for _ in range(5)]

    assert [*client.list_intents(created_from=an_hour_ago())] == made[::-1]
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    assert [*client.list_intents(created_from=in_an_hour)] == []


def test_an_intent_is_found_by_its_metadata() -> None:
    wanted = new_intent(metadata={"payment_id": "p2", "env": "test"})
    new_intent(metadata={"payment_id": "p3", "env": "test"})

    def find(**metadata: str) -> object:
        return client.find_intent(metadata=metadata, created_from=an_hour_ago())

    assert find(payment_id="p2") == wanted
    assert find(payment_id="p2", env="live") is None
    assert find(payment_id="p") is None


def test_of_several_the_one_with_the_money_is_found(sandbox: SandboxClient) -> None:
    paid = paid_intent(sandbox)
    canceled = [new_intent(), new_intent()]
    for each in canceled:
        client.cancel_intent(each.id, idempotency_key=new_key())

    found = client.find_intent(metadata=paid.metadata, created_from=an_hour_ago())

    assert found == paid


def test_a_refund_is_made_and_found(
    sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 1)
    intent = paid_intent(sandbox)

    first, second = refund(intent, 1000), refund(intent, 500)

    assert (first.status, first.amount_minor, first.currency) == (
        *("succeeded", 1000),
        "EUR",
    )
    assert first.metadata == {"refund_id": "r1"}
    assert (first.payment_intent_id, first.charge_id) == (intent.id, intent.charge_id)
    assert (first.failure_reason, first.pending_reason) == ("", "")
    assert client.retrieve_refund(first.id) == first
    assert client.list_refunds(intent.id) == [second, first]
    assert client.retrieve_charge(intent.charge_id).refunded_minor == 1500


def test_a_refund_says_why_it_waits_and_why_it_failed(sandbox: SandboxClient) -> None:
    intent = paid_intent(sandbox)
    tell(sandbox, "refunds/next", status="pending", pending_reason="insufficient_funds")
    made = refund(intent)
    tell(
        *(sandbox, "refunds"),
        refund=made.id,
        status="failed",
        failure_reason="lost_or_stolen_card",
    )
    failed = client.retrieve_refund(made.id)

    assert (made.status, made.pending_reason) == ("pending", "insufficient_funds")
    assert (failed.status, failed.failure_reason) == ("failed", "lost_or_stolen_card")


def test_what_was_refunded_is_not_refunded_again(sandbox: SandboxClient) -> None:
    intent = paid_intent(sandbox)
    refund(intent, 5000)

    said = refusal(lambda: refund(intent, 1))

    assert said == (Outcome.REFUSED, "charge_already_refunded", 400)


@pytest.mark.parametrize(
    ("status", "is_open", "funds_withdrawn"),
    [
        ("needs_response", True, True),
        ("under_review", True, True),
        ("won", False, False),
        ("lost", False, True),
    ],
)
def test_a_dispute_says_whether_it_is_open_and_has_the_money(
    sandbox: SandboxClient, status: str, is_open: bool, funds_withdrawn: bool
) -> None:
    intent = paid_intent(sandbox)
    opened = tell(sandbox, "disputes", payment_intent=intent.id)
    if status != "needs_response":
        tell(sandbox, "disputes", dispute=opened["id"], status=status)

    (dispute,) = client.list_disputes(intent.id)

    assert (dispute.status, dispute.is_open) == (status, is_open)
    assert dispute.funds_withdrawn is funds_withdrawn
    assert (dispute.amount_minor, dispute.currency) == (5000, "EUR")
    assert dispute.payment_intent_id == intent.id
    assert dispute.charge_id == intent.charge_id
    assert dispute.reason
    assert client.retrieve_dispute(dispute.id) == dispute
    assert client.retrieve_charge(intent.charge_id).disputed


def test_an_inquiry_leaves_the_money(sandbox: SandboxClient) -> None:
    intent = paid_intent(sandbox)
    inquiry = {"payment_intent": intent.id, "status": "warning_needs_response"}
    tell(sandbox, "disputes", **inquiry)

    (dispute,) = client.list_disputes(intent.id)

    assert (dispute.is_open, dispute.funds_withdrawn) == (True, False)


def test_a_disputed_payment_is_not_refunded(sandbox: SandboxClient) -> None:
    intent = paid_intent(sandbox)
    tell(sandbox, "disputes", payment_intent=intent.id)

    said = refusal(lambda: refund(intent))

    assert said == (Outcome.REFUSED, "charge_disputed", 400)


def test_events_are_envelopes_as_webhooks_would_be(
    sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    intent = paid_intent(sandbox)

    events = [*client.list_events(created_from=an_hour_ago())]

    assert [event.type for event in events] == [
        "payment_intent.succeeded",
        "charge.succeeded",
        "payment_intent.created",
    ]
    newest = events[0]
    assert (newest.provider, newest.livemode) == ("stripe", False)
    assert newest.event_id.startswith("evt_")
    assert newest.api_version == API_VERSION
    assert newest.created_at is not None
    assert newest.payload["data"]["object"]["id"] == intent.id


def test_events_that_nobody_took_are_listed_alone(sandbox: SandboxClient) -> None:
    new_intent()
    url = f"http://127.0.0.1:{free_port()}/"
    endpoint = {"provider": "stripe", "url": url, "secret": "s", "retry_ms": []}
    assert sandbox.post("/_sandbox/webhooks/endpoints", endpoint).ok
    late = new_intent()

    def list_events(**options: bool) -> list[Any]:
        return [*client.list_events(created_from=an_hour_ago(), **options)]

    (undelivered,) = list_events(only_undelivered=True)
    assert undelivered.payload["data"]["object"]["id"] == late.id
    assert len(list_events()) == 2


def test_the_version_is_that_of_the_sandbox(
    sandbox: SandboxClient, settings: Any
) -> None:
    assert settings.STRIPE_API_VERSION == API_VERSION

    # Controls that it is sent at all.
    settings.STRIPE_API_VERSION = "quark"
    said = refusal(new_intent)

    assert said == (Outcome.REFUSED, "invalid_request", 400)


@pytest.mark.parametrize("key", ["", " ", "sk_test\n", "ключ"])
def test_without_a_usable_key_nothing_is_sent(
    sandbox: SandboxClient, settings: Any, key: str
) -> None:
    settings.STRIPE_SECRET_KEY = key

    said = refusal(new_intent)

    assert said == (Outcome.CONFIGURATION, "no_secret_key", None)
    assert sandbox.calls() == []


def test_a_wrong_key_is_configuration(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_wrong"

    said = refusal(lambda: client.retrieve_intent("pi_1", patience=Patience.REQUEST))

    assert said == (Outcome.CONFIGURATION, "not_authorised", 401)
