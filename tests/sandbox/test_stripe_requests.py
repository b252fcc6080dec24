"""Stripe checks who asks and what for, and refuses in its own words."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import OwnSandbox
from tests.sandbox.stripe_client import effects, new_intent, raw, stripe_of

INTENT = "amount=5000&currency=eur"


def error_of(answer: Any) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_the_right_key_may_ask(sandbox: OwnSandbox) -> None:
    assert stripe_of(sandbox).v1.payment_intents.list().data == []


@pytest.mark.parametrize("key", ["sk_test_other_key_of_somebody", "sk_live_x", "quark"])
def test_a_wrong_key_is_401(sandbox: OwnSandbox, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as caught:
        stripe_of(sandbox, key=key).v1.payment_intents.list()

    assert "Invalid API Key provided" in str(caught.value)
    assert key not in str(caught.value)
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize("header", ["", "Basic sk_test_sandbox", "Bearer "])
def test_without_a_bearer_it_is_401(sandbox: OwnSandbox, header: str) -> None:
    answer = raw(sandbox, "GET", "payment_intents", Authorization=header)

    assert answer.status_code == 401
    assert error_of(answer)["type"] == "invalid_request_error"


def test_every_answer_has_a_request_id_and_a_version(sandbox: OwnSandbox) -> None:
    answers = [
        raw(sandbox, "GET", "payment_intents"),
        raw(sandbox, "GET", "payment_intents", Authorization=""),
        raw(sandbox, "GET", "payment_intents/pi_none"),
        raw(sandbox, "POST", "payment_intents", "nonsense=1"),
        raw(sandbox, "POST", "payment_intents", INTENT),
        raw(sandbox, "GET", "no_such_address"),
    ]

    assert [each.status_code for each in answers] == [200, 401, 404, 400, 200, 404]
    ids = {each.headers["Request-Id"] for each in answers}
    assert len(ids) == 6
    assert all(id_.startswith("req_") for id_ in ids)
    assert all(each.headers["Stripe-Version"] for each in answers)


def test_the_version_that_was_asked_for_is_answered(sandbox: OwnSandbox) -> None:
    answer = raw(sandbox, "GET", "charges", Stripe_Version="2025-09-30.clover")
    wrong = raw(sandbox, "GET", "charges", Stripe_Version="latest")

    assert answer.headers["Stripe-Version"] == "2025-09-30.clover"
    assert wrong.status_code == 400
    assert "Invalid Stripe API version: latest" in error_of(wrong)["message"]


def test_the_sandbox_speaks_the_version_that_the_sdk_pins(sandbox: OwnSandbox) -> None:
    new_intent(sandbox)

    event = stripe_of(sandbox).v1.events.list().data[0]

    assert event.api_version == stripe.api_version


@pytest.mark.parametrize(
    ("body", "code", "param", "words"),
    [
        (f"{INTENT}&colour=red", "parameter_unknown", "colour", "parameter: colour"),
        (f"{INTENT}&a=1&b=2", "parameter_unknown", "a", "parameters: a, b"),
        (f"{INTENT}&shipping[name]=x", "parameter_unknown", "shipping", "shipping"),
        ("currency=eur", "parameter_missing", "amount", "required param: amount"),
        ("amount=5000", "parameter_missing", "currency", "required param: currency"),
        ("amount=&currency=eur", "parameter_invalid_empty", "amount", "empty string"),
        ("amount=50.5&currency=eur", "parameter_invalid_integer", "amount", "50.5"),
        ("amount=0&currency=eur", "parameter_invalid_integer", "amount", "equal to 1"),
        ("amount=-5&currency=eur", "parameter_invalid_integer", "amount", "equal to 1"),
        ("amount=49&currency=eur", "amount_too_small", "amount", "€0.50 eur"),
        ("amount=49&currency=USD", "amount_too_small", "amount", "$0.50 usd"),
        ("amount=49&currency=jpy", "amount_too_small", "amount", "¥50 jpy"),
        ("amount=100000000&currency=eur", "amount_too_large", "amount", "999,999.99"),
        ("amount=5001&currency=kwd", None, "amount", "divisible by 10"),
        ("amount=5000&currency=euro", None, "currency", "Invalid currency: euro"),
        (f"{INTENT}&confirm=maybe", None, "confirm", "Invalid boolean: maybe"),
        (f"{INTENT}&confirm=true", None, "confirm", "/_sandbox/stripe/pay"),
        (f"{INTENT}&capture_method=manual", None, "capture_method", "must be one of"),
        (f"{INTENT}&payment_method_types=card", None, "payment_method_types", "array"),
        (
            f"{INTENT}&payment_method_types[0]=gold",
            "payment_intent_invalid_parameter",
            "payment_method_types",
            '"gold" is invalid',
        ),
        (f"{INTENT}&metadata=x", None, "metadata", "Invalid hash"),
        (f"{INTENT}&metadata[{'k' * 41}]=x", None, "metadata", "up to 40 characters"),
        (f"{INTENT}&metadata[k]={'v' * 501}", None, "metadata[k]", "up to 500"),
        (
            INTENT + "".join(f"&metadata[k{n}]=v" for n in range(51)),
            None,
            "metadata",
            "up to 50 keys",
        ),
    ],
)
def test_bad_parameters_are_400_and_make_nothing(
    sandbox: OwnSandbox, body: str, code: str | None, param: str, words: str
) -> None:
    answer = raw(sandbox, "POST", "payment_intents", body)

    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["type"] == "invalid_request_error"
    assert (error.get("code"), error["param"]) == (code, param)
    assert words in error["message"]
    assert effects(sandbox) == []


@pytest.mark.parametrize(
    ("path", "noun", "param"),
    [
        ("payment_intents/pi_none", "payment_intent", "intent"),
        ("charges/ch_none", "charge", "id"),
        ("refunds/re_none", "refund", "id"),
        ("disputes/du_none", "dispute", "dispute"),
        ("events/evt_none", "event", "id"),
        ("refunds?payment_intent=pi_none", "payment_intent", "payment_intent"),
        ("refunds?charge=ch_none", "charge", "charge"),
        ("charges?payment_intent=pi_none", "payment_intent", "payment_intent"),
        ("events?starting_after=evt_none", "event", "starting_after"),
    ],
)
def test_unknown_objects_are_404(
    sandbox: OwnSandbox, path: str, noun: str, param: str
) -> None:
    answer = raw(sandbox, "GET", path)

    assert answer.status_code == 404
    error = error_of(answer)
    assert (error["code"], error["param"]) == ("resource_missing", param)
    assert error["message"].startswith(f"No such {noun}: '")


def test_the_sdk_sees_its_own_errors(sandbox: OwnSandbox) -> None:
    client = stripe_of(sandbox)

    with pytest.raises(stripe.InvalidRequestError) as caught:
        client.v1.payment_intents.retrieve("pi_none")

    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    assert caught.value.param == "intent"


def test_brackets_become_objects_and_lists(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox, metadata={"a b": "ö & =", "c": "1", "gone": ""})

    assert intent.metadata.to_dict() == {"a b": "ö & =", "c": "1"}


def test_repeated_brackets_are_a_list_too(sandbox: OwnSandbox) -> None:
    body = f"{INTENT}&payment_method_types[]=card&payment_method_types[]=card"

    answer = raw(sandbox, "POST", "payment_intents", body)

    assert answer.json()["payment_method_types"] == ["card", "card"]


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_has_1_to_100_objects(sandbox: OwnSandbox, limit: int) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="value must be") as caught:
        stripe_of(sandbox).v1.charges.list({"limit": limit})

    assert caught.value.param == "limit"


def test_pages_go_forward_and_back(sandbox: OwnSandbox) -> None:
    ids = [new_intent(sandbox).id for _ in range(5)][::-1]
    intents = stripe_of(sandbox).v1.payment_intents

    first = intents.list({"limit": 2})
    second = intents.list({"limit": 2, "starting_after": ids[1]})
    last = intents.list({"limit": 2, "starting_after": ids[3]})
    back = intents.list({"limit": 2, "ending_before": ids[3]})

    assert [each.id for each in first.data] == ids[:2]
    assert [each.id for each in second.data] == ids[2:4]
    assert [each.id for each in last.data] == ids[4:]
    assert [each.id for each in back.data] == ids[1:3]
    assert [page.has_more for page in (first, second, last, back)] == [
        *(True, True, False, True)
    ]
    assert [each.id for each in first.auto_paging_iter()] == ids


def test_both_cursors_at_once_are_refused(sandbox: OwnSandbox) -> None:
    id_ = new_intent(sandbox).id

    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        stripe_of(sandbox).v1.payment_intents.list(
            {"starting_after": id_, "ending_before": id_}
        )


def test_lists_are_cut_by_when_things_were_made(sandbox: OwnSandbox) -> None:
    made = new_intent(sandbox).created
    intents = stripe_of(sandbox).v1.payment_intents

    def count(created: Any) -> int:
        return len(intents.list({"created": created}).data)

    assert count(made) == count({"gte": made, "lte": made}) == 1
    assert count({"gt": made}) == count({"lt": made}) == count(made + 1) == 0
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: since"):
        count({"since": made})


def test_ids_are_expanded_on_request(sandbox: OwnSandbox) -> None:
    intent = new_intent(sandbox)
    sandbox.post(
        "/_sandbox/stripe/pay", {"payment_intent": intent.id, "outcome": "succeed"}
    )
    client = stripe_of(sandbox)

    one = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
    many = client.v1.charges.list({"expand": ["data.payment_intent"]})

    assert isinstance(one.latest_charge, stripe.Charge)
    assert isinstance(many.data[0].payment_intent, stripe.PaymentIntent)
    with pytest.raises(stripe.InvalidRequestError, match=r"expanded \(status\)"):
        client.v1.payment_intents.retrieve(intent.id, {"expand": ["status"]})


@pytest.mark.parametrize(
    ("path", "told", "hint"),
    [
        ("pay", {}, "payment_intent must be text"),
        ("pay", {"payment_intent": "pi_x"}, "outcome must be one of: succeed"),
        ("pay", {"payment_intent": "pi_x", "outcome": "succeed"}, "No such payment_in"),
        ("pay", {"intent": "pi_x"}, "unknown fields (intent)"),
        ("idempotency", {"expire": 5}, "expire must be text"),
        ("refunds", {"refund": "re_x", "status": "failed"}, "No such refund"),
        ("refunds/next", {"status": "succeeded"}, "pending, requires_action, failed"),
        (
            "refunds/next",
            {"status": "pending", "failure_reason": "unknown"},
            "failure_reason does not go with pending",
        ),
        ("dashboard/refunds", {}, "either payment_intent or charge"),
        ("dashboard/refunds", {"charge": "ch_x"}, "No such charge"),
        ("disputes", {"dispute": "du_x", "status": "won"}, "No such dispute"),
        ("idempotency", {}, "expire must be text"),
    ],
)
def test_the_control_api_says_what_would_be_right(
    sandbox: OwnSandbox, path: str, told: dict[str, Any], hint: str
) -> None:
    answer = sandbox.post(f"/_sandbox/stripe/{path}", told)

    assert answer.status_code == 400
    assert hint in answer.json()["error"]
