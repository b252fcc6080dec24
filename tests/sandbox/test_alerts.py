"""The simulated receiver of alerts takes each notice once, and says what is none."""

from typing import Any

import pytest
import requests

from tests.providers.test_alerts import NOTICE
from tests.sandbox.client import OwnSandbox


def post(sandbox: OwnSandbox, notice: Any = NOTICE, **options: Any) -> Any:
    headers = {"Idempotency-Key": NOTICE["id"]}
    return requests.post(  # noqa: S113 - see below
        f"{sandbox.url}/alerts/notices",
        json=notice,
        **{"headers": headers, "timeout": 10, **options},
    )


def taken(sandbox: OwnSandbox) -> list[Any]:
    return [call["effect"] for call in sandbox.effects()]


def test_a_notice_is_taken_once_as_it_is(sandbox: OwnSandbox) -> None:
    answers = [post(sandbox), post(sandbox), post(sandbox, {**NOTICE, "text": "x"})]

    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert taken(sandbox) == [NOTICE]


def test_after_a_reset_the_same_notice_is_new(sandbox: OwnSandbox) -> None:
    post(sandbox)
    sandbox.reset()

    assert post(sandbox).status_code == 201


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"id": "another"}, "Idempotency-Key must be"),
        ({"text": ""}, "text must be text"),
        ({"severity": "awful"}, "severity"),
        ({"alerts": []}, "alerts must be a list"),
        ({"secret": 1}, "unknown fields (secret)"),
    ],
)
def test_what_is_no_notice_is_400_and_says_why(
    sandbox: OwnSandbox, changes: dict[str, Any], hint: str
) -> None:
    answer = post(sandbox, {**NOTICE, **changes})

    assert answer.status_code == 400
    assert hint in answer.json()["error"]
    assert taken(sandbox) == []


def test_a_stored_failure_is_repeated(sandbox: OwnSandbox) -> None:
    sandbox.fault("stored_500", "notice", provider="alerts", count=1)

    assert [post(sandbox).status_code for _ in range(2)] == [500, 500]
    assert taken(sandbox) == []
