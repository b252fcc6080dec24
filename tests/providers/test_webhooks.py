"""Webhooks: good ones are read; all others end as one kind of error."""

import base64
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from django.http import HttpRequest
from django.test import RequestFactory
from psycopg.types.json import Jsonb

from slotbase.providers.webhooks import (
    BadWebhook,
    Envelope,
    NotConfigured,
    read_webhook,
)
from tests.providers.signing import (
    PROVIDERS,
    current_secret,
    payload,
    previous_secret,
    sign,
    signed,
)

SVIX = ("resend", "clerk")
NOW = 1_800_000_000
UNKNOWN_SECRETS = {
    "stripe": "whsec_of_somebody_else",
    "resend": "whsec_c29tZWJvZHkgZWxzZSBzb21lYm9keSBl",
    "clerk": "whsec_c29tZWJvZHkgZWxzZSBzb21lYm9keSBl",
}
every_provider = pytest.mark.parametrize("provider", PROVIDERS)


def why_refused(provider: str, body: bytes, headers: dict[str, str]) -> str:
    with pytest.raises(BadWebhook) as caught:
        read_webhook(provider, body, headers)
    return str(caught.value)


def reads(provider: str, **changes: Any) -> Envelope:
    """What becomes of a good webhook with these fields."""
    return read_webhook(provider, *signed(provider, payload(provider, **changes)))


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: float(NOW))


# --- Good ones ------------------------------------------------------------------------


def test_an_event_of_stripe_is_read() -> None:
    event = payload("stripe", account="acct_1")

    envelope = read_webhook("stripe", *signed("stripe", event))

    assert envelope == Envelope(
        provider="stripe",
        event_id="evt_1Test",
        type="payment_intent.succeeded",
        created_at=datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC),
        account="acct_1",
        api_version="2026-01-28",
        livemode=False,
        payload=event,
    )


def test_an_event_of_resend_is_read() -> None:
    body, headers = signed("resend", payload("resend"), message_id="msg_1")

    envelope = read_webhook("resend", body, headers)

    assert envelope == Envelope(
        provider="resend",
        event_id="msg_1",
        type="email.delivered",
        created_at=datetime(2026, 9, 21, 16, 13, 20, 250_000, tzinfo=UTC),
        account="",
        api_version="",
        livemode=None,
        payload=payload("resend"),
    )


def test_an_event_of_clerk_is_read() -> None:
    body, headers = signed("clerk", payload("clerk"), message_id="msg_2")

    envelope = read_webhook("clerk", body, headers)

    assert envelope == Envelope(
        provider="clerk",
        event_id="msg_2",
        type="user.updated",
        created_at=datetime(2026, 9, 21, 14, 13, 20, 250_000, tzinfo=UTC),
        account="",
        api_version="",
        livemode=None,
        payload=payload("clerk"),
    )


def test_the_sdk_of_stripe_signs_as_we_do() -> None:
    body = json.dumps(payload("stripe")).encode()
    header = stripe.WebhookSignature.generate_signature_header(
        body.decode(), current_secret("stripe")
    )

    assert read_webhook("stripe", body, {"Stripe-Signature": header})


@every_provider
def test_headers_may_come_from_django(provider: str) -> None:
    body, headers = signed(provider, payload(provider))
    request: HttpRequest = RequestFactory().post(
        "/", body, content_type="application/json", headers=headers
    )

    assert read_webhook(provider, request.body, request.headers)


@every_provider
def test_the_bytes_are_signed_not_what_they_mean(provider: str) -> None:
    loose = json.dumps(payload(provider), indent=3).encode() + b"\r\n"

    assert read_webhook(provider, loose, sign(provider, loose))


@every_provider
def test_every_text_of_people_is_kept(provider: str) -> None:
    texts = ["Zoë 🎾", "\\u0000 spelled out", "\u0001", "\uffff", "a\nb"]

    assert reads(provider, texts=texts).payload["texts"] == texts


@every_provider
def test_numbers_of_any_size_can_be_stored(provider: str) -> None:
    numbers = [2**63, -(10**4000), 1.5, 1e308]

    kept = reads(provider, numbers=numbers).payload["numbers"]

    assert kept == numbers


@pytest.mark.parametrize("created", [None, "now", True, -(10**30), 10**30, 1.5, []])
def test_an_unusable_time_of_creation_is_none_at_stripe(created: Any) -> None:
    assert reads("stripe", created=created).created_at is None


@pytest.mark.parametrize(
    "stamp",
    [
        *(None, True, [], "yesterday", "2026-09-21T16:13:20", "0001-01-01T00:00+01:00"),
        *(10**30, -(10**30)),
    ],
)
@pytest.mark.parametrize("provider", SVIX)
def test_without_a_usable_time_of_creation_the_time_of_signing_counts(
    provider: str, stamp: Any
) -> None:
    now = int(time.time())
    event = payload(provider, created_at=stamp, timestamp=stamp)

    envelope = read_webhook(provider, *signed(provider, event, at=now))

    assert envelope.created_at == datetime.fromtimestamp(now, UTC)


def test_clerk_s_stamps_may_be_in_seconds() -> None:
    created_at = reads("clerk", timestamp=1_790_000_000).created_at

    assert created_at == datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)


# --- Secrets --------------------------------------------------------------------------


@every_provider
def test_the_previous_secret_is_good_and_any_other_is_not(provider: str) -> None:
    event = payload(provider)
    old = signed(provider, event, secret=previous_secret(provider))
    other = signed(provider, event, secret=UNKNOWN_SECRETS[provider])

    assert read_webhook(provider, *old)
    assert why_refused(provider, *other) == "signature"


@every_provider
def test_a_previous_secret_that_was_taken_away_is_refused(
    provider: str, settings: Any
) -> None:
    old = signed(provider, payload(provider), secret=previous_secret(provider))
    name = f"{provider.upper()}_WEBHOOK_SECRETS"
    current = signed(provider, payload(provider))
    setattr(settings, name, [f" {current_secret(provider)} "])

    assert why_refused(provider, *old) == "signature"
    assert read_webhook(provider, *current)


@every_provider
@pytest.mark.parametrize("secrets", [[], [""], [" "]])
def test_without_a_secret_the_fault_is_ours(
    provider: str, secrets: list[str], settings: Any
) -> None:
    delivery = signed(provider, payload(provider))
    setattr(settings, f"{provider.upper()}_WEBHOOK_SECRETS", secrets)

    with pytest.raises(NotConfigured, match=f"{provider.upper()}_WEBHOOK_SECRETS"):
        read_webhook(provider, *delivery)


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_!!!!", "whsec_abc", "whsec_c2Vj!cmV0", "é"]
)
@pytest.mark.parametrize("provider", SVIX)
def test_a_secret_that_is_not_base64_is_no_empty_key(
    provider: str, secret: str, settings: Any
) -> None:
    body, headers = signed(provider, payload(provider))
    text = f"{headers['svix-id']}.{headers['svix-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.digest(b"", text, "sha256")).decode()
    setattr(settings, f"{provider.upper()}_WEBHOOK_SECRETS", [secret])

    with pytest.raises(NotConfigured) as caught:
        read_webhook(provider, body, {**headers, "svix-signature": f"v1,{mac}"})

    assert str(caught.value) == "A webhook secret is not whsec_ and base64."


# --- Stamps ---------------------------------------------------------------------------


@every_provider
@pytest.mark.parametrize("age", [0, 299, 300, -59, -60])
@pytest.mark.usefixtures("frozen")
def test_a_fresh_stamp_is_good(provider: str, age: int) -> None:
    assert read_webhook(provider, *signed(provider, payload(provider), at=NOW - age))


@every_provider
@pytest.mark.parametrize("age", [301, 86_400, NOW, -61, -86_400, NOW - 10**12 + 1])
@pytest.mark.usefixtures("frozen")
def test_an_old_stamp_and_one_of_the_future_are_refused(
    provider: str, age: int
) -> None:
    delivery = signed(provider, payload(provider), at=NOW - age)

    assert why_refused(provider, *delivery) == "stamp"


@pytest.mark.usefixtures("frozen")
def test_the_sdk_of_stripe_alone_would_take_a_stamp_of_the_future() -> None:
    body, headers = signed("stripe", payload("stripe"), at=NOW + 86_400)

    assert stripe.WebhookSignature.verify_header(
        body, headers["Stripe-Signature"], current_secret("stripe"), tolerance=300
    )
    assert why_refused("stripe", body, headers) == "stamp"


@every_provider
@pytest.mark.usefixtures("frozen")
def test_a_forged_stamp_is_a_forged_signature(provider: str) -> None:
    body, old = signed(provider, payload(provider), at=NOW - 301)
    forged = {
        name: value.replace(str(NOW - 301), str(NOW)) for name, value in old.items()
    }

    assert forged != old
    assert why_refused(provider, body, forged) == "signature"


@pytest.mark.parametrize("new", ["t={now},t={old},{v1}", "t={old},t={now},{v1}"])
@pytest.mark.usefixtures("frozen")
def test_an_old_signature_of_stripe_cannot_be_given_a_second_stamp(new: str) -> None:
    body, headers = signed("stripe", payload("stripe"), at=NOW - 301)
    v1 = headers["Stripe-Signature"].split(",")[1]
    header = new.format(now=NOW, old=NOW - 301, v1=v1)

    assert why_refused("stripe", body, {"Stripe-Signature": header}) == "signature"


# --- Signatures -----------------------------------------------------------------------


@every_provider
def test_one_byte_more_or_another_form_of_the_same_json_is_refused(
    provider: str,
) -> None:
    body, headers = signed(provider, payload(provider))
    same = json.dumps(json.loads(body), indent=1).encode()

    for other in (body + b" ", body.replace(b"e", b"E", 1), same, b"", b"{}"):
        assert why_refused(provider, other, headers) == "signature"


@every_provider
def test_each_header_is_needed(provider: str) -> None:
    body, headers = signed(provider, payload(provider))

    for name in headers:
        without = {key: value for key, value in headers.items() if key != name}
        assert why_refused(provider, body, without) == "signature"
        assert why_refused(provider, body, {**headers, name: ""}) == "signature"


@every_provider
@pytest.mark.parametrize("junk", ["é", "\x00", "~", "v1", "1" * 5000, "🎾", "\ud83c"])
def test_junk_in_any_header_is_refused(provider: str, junk: str) -> None:
    body, headers = signed(provider, payload(provider))

    for name, value in headers.items():
        for odd in (junk, junk + value, value[:-1] + junk):
            assert why_refused(provider, body, {**headers, name: odd}) == "signature"


@pytest.mark.parametrize(
    "header",
    [
        "t={t},v0={mac}",
        "t={t},v2={mac}",
        "t={t},v1={mac}0",
        "t={t},v1=",
        "v1={mac}",
        "t=,v1={mac}",
        "t={t}.0,v1={mac}",
        "t= {t},v1={mac}",
        "t=+{t},v1={mac}",
        "t=1_8,v1={mac}",
        "t=-{t},v1={mac}",
        "t=x,v1={mac}",
        "T={t},v1={mac}",
        "{mac}",
    ],
)
def test_other_signatures_of_stripe_are_refused(header: str) -> None:
    body, headers = signed("stripe", payload("stripe"))
    stamp, mac = headers["Stripe-Signature"].removeprefix("t=").split(",v1=")
    good = {"Stripe-Signature": f"t={stamp},v1={mac}"}
    bad = {"Stripe-Signature": header.format(t=stamp, mac=mac)}

    assert read_webhook("stripe", body, good)
    assert why_refused("stripe", body, bad) == "signature"


def test_one_good_signature_of_several_is_enough_at_stripe() -> None:
    body, headers = signed("stripe", payload("stripe"))
    stamp, good = headers["Stripe-Signature"].split(",")
    header = f"{stamp},v0={'0' * 64},v1={'1' * 64},{good},v1={'2' * 64}"

    assert read_webhook("stripe", body, {"Stripe-Signature": header})


@pytest.mark.parametrize("provider", SVIX)
@pytest.mark.parametrize("version", ["v0", "v1a", "v2", "V1", ""])
def test_another_version_of_signature_is_refused(provider: str, version: str) -> None:
    body, headers = signed(provider, payload(provider))
    headers["svix-signature"] = headers["svix-signature"].replace("v1,", f"{version},")

    assert why_refused(provider, body, headers) == "signature"


@pytest.mark.parametrize("provider", SVIX)
def test_one_good_signature_of_several_is_enough_at_svix(provider: str) -> None:
    body, headers = signed(provider, payload(provider))
    good = headers["svix-signature"]
    headers["svix-signature"] = f"v1a,AAAA v1,AAAA {good} junk"

    assert read_webhook(provider, body, headers)


@pytest.mark.parametrize("provider", SVIX)
def test_another_id_needs_another_signature(provider: str) -> None:
    body, headers = signed(provider, payload(provider))

    refused = why_refused(provider, body, {**headers, "svix-id": "msg_other"})

    assert refused == "signature"


# --- Bodies, rightly signed -----------------------------------------------------------

BODIES = {
    "empty": b"",
    "no json": b"hello",
    "half": b'{"type": "a',
    "two": b"{}{}",
    "list": b"[]",
    "number": b"17",
    "text": b'"text"',
    "null": b"null",
    "not utf-8": b'{"type": "\xff"}',
    "utf-16": '{"type": "a"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "raw NUL": b'{"type": "a\x00"}',
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "number of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
}
PARTS = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "too large for a float": b"1e999",
    "escaped NUL": b'"a\\u0000b"',
    "NUL after a backslash": b'"\\\\\\u0000"',
    "NUL in a name": b'{"\\u0000": 1}',
    "first half of a pair": b'"\\ud83c"',
    "second half of a pair": b'["\\udfbe"]',
    "pair in the wrong order": b'{"a": [{"b": "\\udfbe\\ud83c"}]}',
    "surrogate in utf-8": b'"\xed\xa0\xbc"',
    "a name twice": b'{"a": 1, "a": 2}',
    "65 levels": b"[" * 65 + b"]" * 65,
}


def word(provider: str, body: bytes) -> str:
    """Stripe's SDK cannot verify what is not UTF-8."""
    is_text = body.decode(errors="ignore").encode() == body
    return "body" if is_text or provider in SVIX else "signature"


@every_provider
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_object_is_refused(provider: str, body: bytes) -> None:
    assert why_refused(provider, body, sign(provider, body)) == word(provider, body)


@every_provider
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_an_event_with_a_part_that_cannot_be_stored_is_refused(
    provider: str, part: bytes
) -> None:
    body = json.dumps(payload(provider, part="PART")).encode()
    assert read_webhook(provider, body, sign(provider, body))

    bad = body.replace(b'"PART"', part)

    assert why_refused(provider, bad, sign(provider, bad)) == word(provider, bad)


NO_NAMES: list[Any] = [
    *(None, "", 7, True, [], {}, "a" * 256, "a b", "é", "a\n", "\x7f", "\u200b"),
]


@every_provider
@pytest.mark.parametrize("value", NO_NAMES)
def test_a_type_that_is_no_name_is_refused(provider: str, value: Any) -> None:
    event = payload(provider, type=value)

    assert why_refused(provider, *signed(provider, event)) == "body"


@every_provider
def test_a_missing_type_is_refused(provider: str) -> None:
    event = payload(provider)
    del event["type"]

    assert why_refused(provider, *signed(provider, event)) == "body"


@every_provider
def test_a_name_may_have_255_characters(provider: str) -> None:
    assert reads(provider, type="a" * 255).type == "a" * 255


@pytest.mark.parametrize("value", NO_NAMES)
def test_an_id_of_stripe_that_is_no_name_is_refused(value: Any) -> None:
    event = payload("stripe", id=value)

    assert why_refused("stripe", *signed("stripe", event)) == "body"


@pytest.mark.parametrize("provider", SVIX)
@pytest.mark.parametrize("value", ["a" * 256, "a b", "a\n", "\x7f"])
def test_an_id_of_svix_that_is_no_name_is_refused(provider: str, value: str) -> None:
    delivery = signed(provider, payload(provider), message_id=value)

    assert why_refused(provider, *delivery) == "body"


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "v2.core.event"},
        {"object": "charge"},
        {"object": None},
        {"object": ["event"]},
        {"livemode": None},
        {"livemode": "false"},
        {"livemode": 0},
        {"account": 7},
        {"account": ""},
        {"account": {"id": "acct_1"}},
        {"api_version": ["2026"]},
        {"api_version": "x" * 256},
    ],
)
def test_what_is_no_event_of_stripe_is_refused(changes: dict[str, Any]) -> None:
    event = payload("stripe", **changes)

    assert why_refused("stripe", *signed("stripe", event)) == "body"


@pytest.mark.parametrize("field", ["account", "api_version"])
def test_some_fields_may_be_missing_at_stripe(field: str) -> None:
    assert getattr(reads("stripe", **{field: None}), field) == ""


@every_provider
def test_nothing_of_the_body_is_in_the_error(provider: str) -> None:
    body, headers = signed(provider, payload(provider, type="secret words"))

    with pytest.raises(BadWebhook) as caught:
        read_webhook(provider, body, headers)

    assert caught.value.args == ("body",)
    assert caught.value.__cause__ is None


@pytest.mark.django_db
@every_provider
def test_what_is_accepted_can_be_stored_and_read_again(provider: str) -> None:
    from django.db import connection

    odd = {
        "deep": json.loads("[" * 60 + "]" * 60),
        "numbers": [10**4000, -(2**64), 1.5, 5e-324],
        "texts": ["\u0001", "\uffff", "🎾", "\\u0000"],
    }
    envelope = reads(provider, **odd)

    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb", [Jsonb(envelope.payload)])
        (stored,) = cursor.fetchone()

    assert json.loads(stored) == envelope.payload
