"""The simulated receiver of events takes each once, and says what it does not take."""

from typing import Any

import pytest
import requests

from tests.sandbox.client import OwnSandbox

EVENT = {
    "id": "0192f0c1-0000-7000-8000-000000000001",
    "type": "booking.confirmed",
    "subject_type": "booking",
    "subject_id": "7",
    "at": "2026-01-01T12:00:00Z",
    "data": {"venue": 1},
}


def post(sandbox: OwnSandbox, event: Any = EVENT, **options: Any) -> requests.Response:
    headers = {"Idempotency-Key": EVENT["id"]}
    return requests.post(  # noqa: S113 - see below
        f"{sandbox.url}/analytics/events",
        json=event,
        **{"headers": headers, "timeout": 10, **options},
    )


def taken(sandbox: OwnSandbox) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def fault(sandbox: OwnSandbox, kind: str, **options: Any) -> None:
    sandbox.fault(kind, "event", provider="analytics", count=1, **options)


def test_an_event_is_taken_as_it_is(sandbox: OwnSandbox) -> None:
    answer = post(sandbox)

    assert (answer.status_code, answer.json()) == (201, {"id": EVENT["id"]})
    assert taken(sandbox) == [EVENT]


def test_a_repeat_is_200_and_has_no_effect(sandbox: OwnSandbox) -> None:
    post(sandbox)

    answers = [post(sandbox), post(sandbox, {**EVENT, "type": "booking.moved"})]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert taken(sandbox) == [EVENT]
    assert len(sandbox.calls()) == 3


def test_after_a_reset_the_same_event_is_new(sandbox: OwnSandbox) -> None:
    post(sandbox)
    sandbox.reset()

    assert post(sandbox).status_code == 201


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"id": "another"}, "Idempotency-Key must be"),
        ({"id": 7}, "id must be text"),
        ({"type": ""}, "type must be text"),
        ({"subject_type": None}, "subject_type must be text"),
        ({"subject_id": 7}, "subject_id must be text"),
        ({"at": "yesterday"}, "at must be a time"),
        ({"at": "2026-01-01T12:00:00"}, "with its offset"),
        ({"data": []}, "data must be an object"),
        ({"secret": 1}, "unknown fields (secret)"),
    ],
)
def test_what_is_no_event_is_400_and_says_why(
    sandbox: OwnSandbox, changes: dict[str, Any], hint: str
) -> None:
    answer = post(sandbox, {**EVENT, **changes})

    assert answer.status_code == 400
    assert hint in answer.json()["error"]
    assert taken(sandbox) == []


def test_without_its_key_an_event_is_400(sandbox: OwnSandbox) -> None:
    assert post(sandbox, headers={}).status_code == 400


@pytest.mark.parametrize(
    ("kind", "effects"),
    [("hang", 0), ("accept_then_hang", 1), ("reset_after_effect", 1)],
)
def test_an_event_without_an_answer_is_taken_once_in_the_end(
    sandbox: OwnSandbox, kind: str, effects: int
) -> None:
    fault(sandbox, kind)

    with pytest.raises(requests.RequestException):
        post(sandbox, timeout=0.3)

    assert len(taken(sandbox)) == effects
    assert post(sandbox).status_code == (200 if effects else 201)
    assert taken(sandbox) == [EVENT]


@pytest.mark.parametrize("kind", ["malformed", "slow"])
def test_a_spoiled_answer_does_not_undo_the_effect(
    sandbox: OwnSandbox, kind: str
) -> None:
    fault(sandbox, kind)

    assert post(sandbox).status_code == 201
    assert taken(sandbox) == [EVENT]


@pytest.mark.parametrize(("kind", "status"), [("4xx", 429), ("5xx", 503)])
def test_a_refused_event_can_be_sent_again(
    sandbox: OwnSandbox, kind: str, status: int
) -> None:
    fault(sandbox, kind, status=status)

    assert [post(sandbox).status_code for _ in range(2)] == [status, 201]


def test_a_stored_failure_is_repeated(sandbox: OwnSandbox) -> None:
    fault(sandbox, "stored_500")

    assert [post(sandbox).status_code for _ in range(2)] == [500, 500]
    assert taken(sandbox) == []


def test_what_was_taken_does_not_fail_later(sandbox: OwnSandbox) -> None:
    post(sandbox)
    fault(sandbox, "stored_500")

    assert [post(sandbox).status_code for _ in range(2)] == [200, 200]
