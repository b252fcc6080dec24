"""Where webhooks arrive: what is theirs is stored once, all else leaves nothing."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from recovery import inbox
from recovery.models import InboxEvent
from slotbase.providers.errors import Outcome, ProviderError
from tests.providers.signing import PROVIDERS, payload, previous_secret, sign, signed

pytestmark = pytest.mark.django_db(transaction=True)

every_provider = pytest.mark.parametrize("provider", PROVIDERS)


def send(provider: str, body: bytes, headers: dict[str, str], **more: Any) -> Any:
    return Client(raise_request_exception=False).post(
        f"/webhooks/{provider}/", body, "application/json", headers=headers, **more
    )


@every_provider
def test_a_webhook_is_stored_and_answered(provider: str) -> None:
    answer = send(provider, *signed(provider, payload(provider)))

    assert (answer.status_code, answer.json()) == (
        200,
        {"received": True, "duplicate": False},
    )
    event = InboxEvent.objects.get()
    assert (event.provider, event.status) == (provider, "RECEIVED")
    assert event.payload == payload(provider)
    assert event.next_run_at is not None


@every_provider
def test_the_same_webhook_again_is_the_same_row(provider: str) -> None:
    delivery = signed(provider, payload(provider))

    first, again = send(provider, *delivery), send(provider, *delivery)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json()["duplicate"] is True
    assert InboxEvent.objects.count() == 1


@every_provider
def test_the_previous_secret_is_good_while_it_is_configured(
    provider: str, settings: Any
) -> None:
    old = previous_secret(provider)
    delivery = signed(provider, payload(provider), secret=old)
    assert send(provider, *delivery).status_code == 200

    name = f"{provider.upper()}_WEBHOOK_SECRETS"
    setattr(settings, name, getattr(settings, name)[:1])

    other = signed(provider, {**payload(provider), "id": "evt_2"}, secret=old)
    assert send(provider, *other).status_code == 400
    assert InboxEvent.objects.count() == 1


Bad = tuple[bytes, dict[str, str]]


def _v0_only(body: bytes) -> Bad:
    header = sign("stripe", body)["Stripe-Signature"]
    return body, {"Stripe-Signature": header.replace("v1=", "v0=")}


def _old(body: bytes) -> Bad:
    return body, sign("stripe", body, at=int(time.time()) - 301)


def _future(body: bytes) -> Bad:
    return body, sign("stripe", body, at=int(time.time()) + 10 * 86400)


def _changed(body: bytes) -> Bad:
    return body.replace(b"pi_1Test", b"pi_2Test"), sign("stripe", body)


def _rewritten(body: bytes) -> Bad:
    return json.dumps(json.loads(body), indent=1).encode(), sign("stripe", body)


def _raw(text: bytes) -> Callable[[bytes], Bad]:
    return lambda _: (text, sign("stripe", text))


def _header(value: str) -> Callable[[bytes], Bad]:
    return lambda body: (body, {"Stripe-Signature": value})


BAD: dict[str, Callable[[bytes], Bad]] = {
    "wrong secret": lambda body: (body, sign("stripe", body, secret="whsec_x")),
    "no header": lambda body: (body, {}),
    "empty header": _header(""),
    "header without parts": _header("nonsense"),
    "header without a stamp": _header("v1=" + "0" * 64),
    "header with a text for a stamp": _header("t=soon,v1=" + "0" * 64),
    "header with a huge stamp": _header(f"t={'9' * 5000},v1={'0' * 64}"),
    "header with a negative stamp": _header(f"t=-1,v1={'0' * 64}"),
    "header that is not ASCII": _header("t=1,v1=\u00e9"),
    "v0 only": _v0_only,
    "too old": _old,
    "of the future": _future,
    "changed by a byte": _changed,
    "written anew": _rewritten,
    "signature of another provider": lambda body: (body, sign("clerk", body)),
    "empty": _raw(b""),
    "not UTF-8": _raw(b"\xff\xfe{}"),
    "not JSON": _raw(b"id=evt_1&type=x"),
    "half of it": lambda body: (body[:40], sign("stripe", body[:40])),
    "a list": _raw(b"[]"),
    "a text": _raw(b'"evt_1"'),
    "null": _raw(b"null"),
    "not a number": _raw(b'{"id":"evt_1","object":"event","type":"x","created":NaN}'),
    "nested too deep": _raw(b"[" * 60_000),
    "without id": _raw(b'{"object":"event","type":"x"}'),
    "id is a number": _raw(b'{"id":1,"object":"event","type":"x"}'),
    "without type": _raw(b'{"id":"evt_1","object":"event"}'),
    "not an event": _raw(b'{"id":"pi_1","object":"payment_intent","type":"x"}'),
    "NUL in a text": _raw(b'{"id":"evt_1","object":"event","type":"x","a":"\\u0000"}'),
    "half a character": _raw(
        b'{"id":"evt_1","object":"event","type":"x","a":"\\ud800"}'
    ),
    "id too long": _raw(
        json.dumps({"id": "e" * 300, "object": "event", "type": "x"}).encode()
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_webhook_is_refused_and_leaves_no_row(fault: str) -> None:
    body, headers = BAD[fault](json.dumps(payload("stripe")).encode())

    answer = send("stripe", body, headers)

    assert answer.status_code == 400
    assert answer.json()["code"] == "validation_error"
    assert not InboxEvent.objects.exists()


def test_a_webhook_that_is_too_big_is_refused_unread(settings: Any) -> None:
    settings.MAX_BODY_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
    body, headers = signed("stripe", {**payload("stripe"), "x": "y" * 256 * 1024})

    assert send("stripe", body, headers).status_code == 413
    assert not InboxEvent.objects.exists()


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_only_post_is_a_webhook(method: str) -> None:
    assert getattr(Client(), method)("/webhooks/stripe/").status_code == 405


def test_an_unknown_provider_has_no_address() -> None:
    assert send("acme", b"{}", {}).status_code == 404


def test_a_webhook_that_cannot_be_stored_is_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(_: Any) -> bool:
        raise OperationalError("the database is away")

    monkeypatch.setattr(inbox, "store", away)

    answer = send("stripe", *signed("stripe", payload("stripe")))

    assert answer.status_code == 503
    assert answer["Retry-After"]


def test_without_a_secret_nothing_is_believed_and_nothing_lost(settings: Any) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []
    settings_of_tests = "whsec_anything"
    body, headers = signed("stripe", payload("stripe"), secret=settings_of_tests)

    assert send("stripe", body, headers).status_code == 503
    assert not InboxEvent.objects.exists()


def test_the_body_of_a_refused_webhook_is_not_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    body, headers = signed("stripe", {"canary": "Ada Lovelace"}, secret="whsec_x")

    answer = send("stripe", body, headers)

    told = answer.content.decode() + "".join(capsys.readouterr())
    assert "Ada" not in told


def test_a_webhook_is_processed_after_it_was_answered() -> None:
    send("stripe", *signed("stripe", payload("stripe", type="customer.created")))

    inbox.process_inbox()

    event = InboxEvent.objects.get()
    assert event.status == "IGNORED"
    assert event.ignored_because == "no part of SlotBase handles this type"


def test_a_provider_error_is_no_answer_to_a_webhook() -> None:
    """The engine alone talks to providers; the view only stores."""
    # Not a type that the product handles: its handler would be gone afterwards.
    handler = inbox.Handler("stripe", frozenset({"tester.refused"}), apply=refuse_all)
    inbox.register(handler)
    try:
        body = payload("stripe", type="tester.refused")
        answer = send("stripe", *signed("stripe", body))
    finally:
        inbox.unregister(handler)

    assert answer.status_code == 200


def refuse_all(*_: Any) -> None:
    raise ProviderError(Outcome.REFUSED, provider="stripe", code="no")
