"""Each fault does on the wire what its name says, and the journal tells the truth."""

import time

import pytest
import requests

from tests.sandbox.client import OwnSandbox

JWKS = "/clerk/.well-known/jwks.json"


def statuses(sandbox: OwnSandbox, calls: int) -> list[int]:
    return [sandbox.get(JWKS).status_code for _ in range(calls)]


def test_without_faults_the_key_set_is_served(sandbox: OwnSandbox) -> None:
    key = sandbox.get(JWKS).json()["keys"][0]

    assert key["kty"] == "RSA"
    assert [call["effect"] for call in sandbox.effects()] == [{"kids": [key["kid"]]}]


def test_the_api_wants_the_secret_key(sandbox: OwnSandbox) -> None:
    right = {"Authorization": "Bearer sk_test_sandbox"}
    wrong = {"Authorization": "Bearer sk_test_other"}

    assert sandbox.get("/clerk/v1/jwks", headers=right).status_code == 200
    for headers in ({}, wrong):
        answer = sandbox.get("/clerk/v1/jwks", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["code"] == "authentication_invalid"


@pytest.mark.parametrize(
    ("fault", "options", "status"),
    [
        ("4xx", {}, 400),
        ("4xx", {"status": 429}, 429),
        ("5xx", {}, 500),
        ("5xx", {"status": 503}, 503),
        ("stored_500", {}, 500),
    ],
)
def test_refusals_have_a_status_and_no_effect(
    sandbox: OwnSandbox, fault: str, options: dict[str, int], status: int
) -> None:
    sandbox.fault(fault, **options)

    answer = sandbox.get(JWKS)

    assert answer.status_code == status
    assert answer.json()["errors"]
    assert sandbox.effects() == []
    assert [call["fault"] for call in sandbox.calls()] == [fault]


@pytest.mark.parametrize(("fault", "effects"), [("hang", 0), ("accept_then_hang", 1)])
def test_hanging_calls_are_never_answered(
    sandbox: OwnSandbox, fault: str, effects: int
) -> None:
    sandbox.fault(fault)

    with pytest.raises(requests.ReadTimeout):
        sandbox.get(JWKS, timeout=0.3)

    assert len(sandbox.effects()) == effects


def test_a_reset_comes_after_the_effect(sandbox: OwnSandbox) -> None:
    sandbox.fault("reset_after_effect")

    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        sandbox.get(JWKS)

    assert len(sandbox.effects()) == 1


def test_a_malformed_answer_is_200_and_no_json(sandbox: OwnSandbox) -> None:
    sandbox.fault("malformed")

    answer = sandbox.get(JWKS)

    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_slow_answer_is_right_and_late(sandbox: OwnSandbox) -> None:
    sandbox.fault("slow", seconds=1)
    began = time.monotonic()

    assert sandbox.get(JWKS).json()["keys"]
    assert time.monotonic() - began >= 1


def test_a_count_is_used_up(sandbox: OwnSandbox) -> None:
    sandbox.fault("5xx", count=2)

    assert statuses(sandbox, 4) == [500, 500, 200, 200]


def test_ok_lets_calls_pass_before_the_next_fault(sandbox: OwnSandbox) -> None:
    sandbox.fault("ok", count=2)
    sandbox.fault("5xx", count=1)

    assert statuses(sandbox, 4) == [200, 200, 500, 200]


def test_without_a_count_a_fault_lasts_until_it_is_deleted(sandbox: OwnSandbox) -> None:
    sandbox.fault("5xx", operation="*")
    assert statuses(sandbox, 3) == [500, 500, 500]

    sandbox.delete("/_sandbox/faults")

    assert statuses(sandbox, 1) == [200]


def test_a_percentage_strikes_some_calls_and_the_same_ones_again(
    sandbox: OwnSandbox,
) -> None:
    sandbox.fault("5xx", percentage=50)
    first = statuses(sandbox, 40)
    sandbox.reset()
    sandbox.fault("5xx", percentage=50)

    assert 5 < first.count(500) < 35
    assert statuses(sandbox, 40) == first


def test_a_match_strikes_only_calls_that_mention_it(sandbox: OwnSandbox) -> None:
    sandbox.fault("5xx", match="re_42")

    assert sandbox.get(f"{JWKS}?refund=re_41").status_code == 200
    assert sandbox.get(f"{JWKS}?refund=re_42").status_code == 500


def test_effects_come_in_order_with_their_faults(sandbox: OwnSandbox) -> None:
    sandbox.fault("5xx", count=1)
    statuses(sandbox, 3)

    assert [call["number"] for call in sandbox.calls()] == [1, 2, 3]
    assert [effect["number"] for effect in sandbox.effects()] == [2, 3]
