"""The simulated Resend takes mails, each once for its key, and says what is wrong."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
import requests

from slotbase.providers.resend import webhooks
from tests.sandbox.client import OwnSandbox

MAIL = {
    "from": "SlotBase <noreply@slotbase.example>",
    "to": ["alice@example.com"],
    "subject": "Booked",
    "text": "Hello",
}
AUTHORISED = {"Authorization": "Bearer re_sandbox"}


def post(sandbox: OwnSandbox, mail: Any = MAIL, **headers: str) -> requests.Response:
    return requests.post(
        f"{sandbox.url}/resend/emails",
        json=mail,
        headers={**AUTHORISED, **headers},
        timeout=5,
    )


def sent(sandbox: OwnSandbox) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def test_a_mail_is_taken_and_can_be_read(sandbox: OwnSandbox) -> None:
    id_ = post(sandbox).json()["id"]

    mail = sandbox.get(f"/resend/emails/{id_}", headers=AUTHORISED).json()
    assert mail.items() >= {**MAIL, "object": "email", "last_event": "sent"}.items()
    (effect,) = sent(sandbox)
    assert effect == {
        "id": id_,
        "to": ["alice@example.com"],
        "subject": "Booked",
        "text_length": 5,
        "idempotency_key": None,
    }


def test_without_a_key_a_repeat_is_another_mail(sandbox: OwnSandbox) -> None:
    post(sandbox)
    post(sandbox)

    assert len(sent(sandbox)) == 2


def test_with_a_key_a_repeat_is_the_same_mail(sandbox: OwnSandbox) -> None:
    ids = {post(sandbox, **{"Idempotency-Key": "1"}).json()["id"] for _ in range(2)}

    assert len(ids) == len(sent(sandbox)) == 1


def test_another_mail_with_the_key_is_409(sandbox: OwnSandbox) -> None:
    key = {"Idempotency-Key": "1"}
    post(sandbox, **key)

    answer = post(sandbox, {**MAIL, "text": "Other"}, **key)

    assert answer.status_code == 409
    assert answer.json()["name"] == "invalid_idempotent_request"


def test_after_a_day_the_key_is_new(sandbox: OwnSandbox) -> None:
    key = {"Idempotency-Key": "1"}
    post(sandbox, **key)

    expired = sandbox.post("/_sandbox/resend/expire_keys", {"key": "1"}).json()

    assert expired == {"expired": 1}
    post(sandbox, **key)
    assert len(sent(sandbox)) == 2


def test_while_the_answer_is_in_flight_a_repeat_is_409(sandbox: OwnSandbox) -> None:
    key = {"Idempotency-Key": "1"}
    sandbox.fault("slow", "emails.send", provider="resend", seconds=5, count=1)
    with pytest.raises(requests.RequestException):
        requests.post(
            f"{sandbox.url}/resend/emails",
            json=MAIL,
            headers={**AUTHORISED, **key},
            timeout=0.3,
        )

    answer = post(sandbox, **key)

    assert answer.status_code == 409
    assert answer.json()["name"] == "concurrent_idempotent_requests"


def test_a_failure_is_not_remembered(sandbox: OwnSandbox) -> None:
    sandbox.fault("stored_500", "emails.send", provider="resend", count=1)
    key = {"Idempotency-Key": "1"}

    assert [post(sandbox, **key).status_code for _ in range(2)] == [500, 200]
    assert len(sent(sandbox)) == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"from": ""}, "missing_required_field"),
        ({"to": []}, "missing_required_field"),
        ({"subject": None}, "missing_required_field"),
        ({"text": ""}, "missing_required_field"),
        ({"from": "nobody"}, "invalid_from_address"),
        ({"from": "A <a@example.com\r\n>"}, "invalid_from_address"),
        ({"to": ["nobody"]}, "validation_error"),
        ({"to": ["a@example.com"] * 51}, "validation_error"),
        ({"to": [7]}, "validation_error"),
        ({"subject": "a\r\nBcc: b@example.com"}, "validation_error"),
        ({"html": 7}, "validation_error"),
        ({"headers": {"X": 7}}, "validation_error"),
    ],
)
def test_what_is_no_mail_is_422(
    sandbox: OwnSandbox, changes: dict[str, Any], name: str
) -> None:
    answer = post(sandbox, {**MAIL, **changes})

    assert (answer.status_code, answer.json()["name"]) == (422, name)
    assert answer.json()["statusCode"] == 422
    assert sent(sandbox) == []


def test_a_body_that_is_not_json_is_400(sandbox: OwnSandbox) -> None:
    answer = requests.post(
        f"{sandbox.url}/resend/emails", data="}{", headers=AUTHORISED, timeout=5
    )

    assert (answer.status_code, answer.json()["name"]) == (400, "validation_error")


def test_a_key_may_have_256_characters(sandbox: OwnSandbox) -> None:
    longest, longer = ({"Idempotency-Key": "k" * n} for n in (256, 257))

    assert post(sandbox, **longest).status_code == 200
    answer = post(sandbox, **longer)
    assert answer.status_code == 400
    assert answer.json()["name"] == "invalid_idempotency_key"


@pytest.mark.parametrize(
    ("header", "status", "name"),
    [
        ("", 401, "missing_api_key"),
        ("Bearer ", 401, "missing_api_key"),
        ("Bearer re_other", 403, "invalid_api_key"),
    ],
)
def test_without_the_right_key_nothing_is_sent(
    sandbox: OwnSandbox, header: str, status: int, name: str
) -> None:
    answer = post(sandbox, Authorization=header)

    assert (answer.status_code, answer.json()["name"]) == (status, name)


def test_a_mail_that_is_not_there_is_404(sandbox: OwnSandbox) -> None:
    assert sandbox.get("/resend/emails/7", headers=AUTHORISED).status_code == 404


class Inbox(BaseHTTPRequestHandler):
    taken: list[tuple[bytes, dict[str, str]]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.taken.append((body, headers))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[HTTPServer]:
    Inbox.taken = []
    with HTTPServer(("127.0.0.1", 0), Inbox) as server:
        Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    "type_", ["email.delivered", "email.bounced", "email.complained"]
)
def test_what_became_of_a_mail_is_told_by_a_signed_webhook(
    sandbox: OwnSandbox, inbox: HTTPServer, type_: str
) -> None:
    from tests.product import eventually

    secret = "whsec_c2FuZGJveCByZXNlbmQgd2ViaG9va3Mu"
    url = f"http://127.0.0.1:{inbox.server_address[1]}/"
    sandbox.post(
        "/_sandbox/webhooks/endpoints",
        {"provider": "resend", "url": url, "secret": secret},
    )
    id_ = post(sandbox).json()["id"]

    told = sandbox.post("/_sandbox/resend/events", {"id": id_, "type": type_}).json()

    eventually(lambda: Inbox.taken)
    body, headers = Inbox.taken[0]
    event = webhooks.read(body, headers, [secret])
    assert (event.event_id, event.type) == (told["id"], type_)
    assert json.loads(body)["data"]["email_id"] == id_
    sandbox.delete("/_sandbox/webhooks/endpoints?provider=resend")


def test_nothing_becomes_of_a_mail_that_was_not_sent(sandbox: OwnSandbox) -> None:
    answer = sandbox.post(
        "/_sandbox/resend/events", {"id": "7", "type": "email.bounced"}
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "more",
    [
        {"tags": [{"name": "notification", "value": "a b"}]},
        {"tags": "x"},
        {"attachments": [{"filename": "a.ics"}]},
        {"attachments": "x"},
    ],
)
def test_tags_and_attachments_are_checked(
    sandbox: OwnSandbox, more: dict[str, Any]
) -> None:
    assert post(sandbox, {**MAIL, **more}).status_code == 422
    assert sent(sandbox) == []


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("per_second", "rate_limit_exceeded"),
        ("daily", "daily_quota_exceeded"),
        ("monthly", "monthly_quota_exceeded"),
    ],
)
def test_beyond_a_limit_it_takes_nothing(
    sandbox: OwnSandbox, limit: str, name: str
) -> None:
    address = f"{sandbox.url}/_sandbox/resend/limits"
    requests.post(address, json={limit: 1}, timeout=5).raise_for_status()

    first, second = post(sandbox), post(sandbox)

    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["name"] == name
    assert int(second.headers["Retry-After"]) >= 1
    assert len(sent(sandbox)) == 1
