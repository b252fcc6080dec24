"""The simulated FCM takes messages to devices, and says what is wrong as FCM does."""

import base64
import json
import time
from typing import Any

import pytest
import requests

from tests.sandbox.client import OwnSandbox

SEND = "/fcm/v1/projects/slotbase-sandbox/messages:send"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
MESSAGE = {
    "token": "a-phone",
    "notification": {"title": "Court 1", "body": "Tomorrow at 10:00"},
    "data": {"kind": "booking_confirmed"},
    "android": {"collapse_key": "c1", "ttl": "3600s"},
}


def authorize(sandbox: OwnSandbox, **claims: Any) -> requests.Response:
    said = {"iss": "push@sandbox", "exp": int(time.time()) + 60, **claims}
    body = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    form = {"grant_type": GRANT, "assertion": f"e30.{body}.c2ln"}
    return requests.post(f"{sandbox.url}/fcm/token", data=form, timeout=5)


def post(sandbox: OwnSandbox, message: Any = None, **more: Any) -> requests.Response:
    token = authorize(sandbox).json()["access_token"]
    body = more.pop("body", {"message": MESSAGE if message is None else message})
    headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
    return requests.post(sandbox.url + SEND, json=body, headers=headers, timeout=5)


def sent(sandbox: OwnSandbox) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def tell(sandbox: OwnSandbox, error: str, token: str = "a-phone", **more: Any) -> None:
    told = {"token": token, "error": error, **more}
    answer = sandbox.post("/_sandbox/fcm/tokens", told)
    assert answer.status_code == 201, answer.text


def fields_of(answer: requests.Response) -> list[str]:
    """The fields that a refusal names."""
    details = answer.json()["error"]["details"]
    return [
        violation["field"]
        for detail in details
        for violation in detail.get("fieldViolations", [])
    ]


def test_a_message_reaches_its_device(sandbox: OwnSandbox) -> None:
    answer = post(sandbox)

    (effect,) = sent(sandbox)
    assert answer.json() == {"name": effect["name"]}
    assert effect["name"].startswith("projects/slotbase-sandbox/messages/")
    assert effect["token"] == "a-phone"
    assert effect["data"] == {"kind": "booking_confirmed"}
    assert (effect["collapse_key"], effect["ttl"]) == ("c1", "3600s")


def test_the_same_again_is_another_message(sandbox: OwnSandbox) -> None:
    post(sandbox)
    post(sandbox)

    assert len(sent(sandbox)) == 2


def test_a_trial_reaches_nobody(sandbox: OwnSandbox) -> None:
    answer = post(sandbox, body={"message": MESSAGE, "validate_only": True})

    assert answer.status_code == 200
    assert sent(sandbox) == []


def test_without_an_access_token_nobody_gets_in(sandbox: OwnSandbox) -> None:
    for given in ("", "Bearer other", "Basic YTpi"):
        answer = post(sandbox, headers={"Authorization": given})

        error = answer.json()["error"]
        assert (error["code"], error["status"]) == (401, "UNAUTHENTICATED")
        assert "details" not in error
    assert sent(sandbox) == []


@pytest.mark.parametrize("claims", [{"exp": 1}, {"iss": ""}, {"exp": "soon"}])
def test_a_claim_that_is_none_gets_no_access_token(
    sandbox: OwnSandbox, claims: dict[str, Any]
) -> None:
    answer = authorize(sandbox, **claims)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


LONG = {"notification": {"title": "t", "body": "x" * 4096}}
WRONG = {
    "no target": ({"token": None}, "message.token"),
    "an empty target": ({"token": ""}, "message.token"),
    "two targets": ({"fid": "f"}, "message"),
    "a number as data": ({"data": {"n": 1}}, "message.data[n]"),
    "a name that is Google's": ({"data": {"google.x": "1"}}, "message.data"),
    "an unknown field": ({"priority": "high"}, "message.priority"),
    "an unknown part of the text": (
        {"notification": {"subtitle": "x"}},
        "message.notification.subtitle",
    ),
    "a time to live in minutes": ({"android": {"ttl": "60m"}}, "message.android.ttl"),
    "a long id to collapse by": (
        {"apns": {"headers": {"apns-collapse-id": "x" * 65}}},
        "message.apns.headers",
    ),
    "a number as a header": (
        {"webpush": {"headers": {"TTL": 60}}},
        "message.webpush.headers.TTL",
    ),
    "too much": (LONG, "message"),
}


@pytest.mark.parametrize(("change", "field"), WRONG.values(), ids=WRONG)
def test_a_message_that_is_none_is_refused_and_the_field_is_named(
    sandbox: OwnSandbox, change: dict[str, Any], field: str
) -> None:
    answer = post(sandbox, {**MESSAGE, **change})

    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert fields_of(answer) == [field]
    assert error["details"][0]["errorCode"] == "INVALID_ARGUMENT"
    assert sent(sandbox) == []


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        ("UNREGISTERED", 404, "NOT_FOUND"),
        ("SENDER_ID_MISMATCH", 403, "PERMISSION_DENIED"),
        ("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT"),
        ("QUOTA_EXCEEDED", 429, "RESOURCE_EXHAUSTED"),
        ("UNAVAILABLE", 503, "UNAVAILABLE"),
        ("INTERNAL", 500, "INTERNAL"),
        ("THIRD_PARTY_AUTH_ERROR", 401, "UNAUTHENTICATED"),
    ],
)
def test_a_device_in_trouble_gets_nothing_and_others_do(
    sandbox: OwnSandbox, code: str, status: int, name: str
) -> None:
    tell(sandbox, code)

    answer = post(sandbox)
    post(sandbox, {**MESSAGE, "token": "another"})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (
        *(status, status),
        name,
    )
    assert [detail["errorCode"] for detail in error["details"]] == [code]
    assert [effect["token"] for effect in sent(sandbox)] == ["another"]


def test_a_quota_says_when_to_come_back(sandbox: OwnSandbox) -> None:
    tell(sandbox, "QUOTA_EXCEEDED")
    assert post(sandbox).headers["Retry-After"] == "60"

    tell(sandbox, "UNAVAILABLE", retry_after=7)
    assert post(sandbox).headers["Retry-After"] == "7"


def test_a_field_can_be_named(sandbox: OwnSandbox) -> None:
    tell(sandbox, "INVALID_ARGUMENT", field="message.token")

    assert fields_of(post(sandbox)) == ["message.token"]


def test_trouble_ends_after_a_count_when_told_so_and_at_a_reset(
    sandbox: OwnSandbox,
) -> None:
    tell(sandbox, "UNREGISTERED", count=1)
    assert [post(sandbox).status_code for _ in range(2)] == [404, 200]

    tell(sandbox, "UNREGISTERED")
    tell(sandbox, "OK")
    assert post(sandbox).status_code == 200

    tell(sandbox, "UNREGISTERED")
    sandbox.reset()
    assert post(sandbox).status_code == 200


def test_scripted_faults_speak_as_fcm_does(sandbox: OwnSandbox) -> None:
    for status, name in ((503, "UNAVAILABLE"), (401, "UNAUTHENTICATED")):
        kind = f"{status // 100}xx"
        wish = {"provider": "fcm", "status": status, "count": 1}
        sandbox.fault(kind, "messages.send", **wish)

        assert post(sandbox).json()["error"]["status"] == name


@pytest.mark.parametrize(
    "wish",
    [{}, {"token": "a"}, {"token": "a", "error": "GONE"}, {"token": 1, "error": "OK"}],
)
def test_what_it_cannot_be_told_is_refused(
    sandbox: OwnSandbox, wish: dict[str, Any]
) -> None:
    assert sandbox.post("/_sandbox/fcm/tokens", wish).status_code == 400
