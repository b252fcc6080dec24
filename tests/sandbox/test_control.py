"""The control API says what is wrong with what it is told."""

from typing import Any

import pytest
import requests

from tests.sandbox.client import OwnSandbox

FAULT = {"provider": "clerk", "operation": "jwks", "fault": "5xx"}


def test_health_names_the_providers(sandbox: OwnSandbox) -> None:
    health = sandbox.get("/_sandbox/health").json()

    assert health["status"] == "ok"
    assert {"clerk", "stripe"} <= set(health["providers"])


@pytest.mark.parametrize(
    ("path", "told", "hint"),
    [
        ("faults", {}, "provider must be one of: clerk"),
        ("faults", {**FAULT, "provider": "strip"}, "clerk"),
        ("faults", {**FAULT, "operation": "refund"}, "jwks, users.get, *"),
        ("faults", {**FAULT, "fault": "boom"}, "reset_after_effect"),
        ("faults", {**FAULT, "count": 0}, "count must be a whole number from 1"),
        ("faults", {**FAULT, "count": True}, "count must be a whole number"),
        ("faults", {**FAULT, "percentage": 101}, "from 0 to 100"),
        ("faults", {**FAULT, "match": ""}, "match must be text"),
        ("faults", {**FAULT, "status": 404}, "from 500 to 599"),
        ("faults", {**FAULT, "fault": "hang", "status": 500}, "4xx and 5xx only"),
        ("faults", {**FAULT, "seconds": 9999}, "from 0 to 600"),
        ("faults", {**FAULT, "cuont": 1}, "cuont"),
        ("faults", [], "must be an object"),
        ("tokens", {}, "either sub"),
        ("tokens", {"sub": "a", "subs": ["b"]}, "either sub"),
        ("tokens", {"sub": 5}, "sub must be text"),
        ("tokens", {"subs": "a"}, "subs must be a list"),
        ("tokens", {"subs": ["a", ""]}, "Each of subs must be text"),
        ("tokens", {"sub": "a", "ttl": "60"}, "ttl must be a whole number"),
        ("tokens", {"sub": "a", "overrides": []}, "claims, headers, remove, key, alg"),
        ("tokens", {"sub": "a", "overrides": {"claims": 5}}, "claims must be an obj"),
        ("tokens", {"sub": "a", "overrides": {"remove": "exp"}}, "remove must be"),
        ("tokens", {"sub": "a", "overrides": {"key": "x"}}, "current, previous"),
        ("tokens", {"sub": "a", "overrides": {"alg": "ES256"}}, "RS256"),
    ],
)
def test_bad_input_is_400_and_says_what_would_be_right(
    sandbox: OwnSandbox, path: str, told: Any, hint: str
) -> None:
    answer = sandbox.post(f"/_sandbox/{path}", told)

    assert answer.status_code == 400
    assert hint in answer.json()["error"]


def test_a_body_that_is_not_json_is_400(sandbox: OwnSandbox) -> None:
    answer = requests.post(f"{sandbox.url}/_sandbox/faults", data="}{", timeout=10)

    assert answer.status_code == 400
    assert answer.json() == {"error": "The body must be JSON."}


def test_an_unknown_address_lists_the_known_ones(sandbox: OwnSandbox) -> None:
    answer = sandbox.get("/_sandbox/fault")

    assert answer.status_code == 404
    assert "POST /_sandbox/faults" in answer.json()["known"]
    known = sandbox.get("/striped/v1").json()["known"]
    assert known[:3] == ["_sandbox", "clerk", "stripe"]


def test_unknown_providers_have_no_effects(sandbox: OwnSandbox) -> None:
    assert sandbox.get("/_sandbox/effects?provider=clerk").json() == {"effects": []}
    assert sandbox.get("/_sandbox/effects?provider=nobody").status_code == 400


def test_reset_forgets_faults_and_effects_but_not_the_key(sandbox: OwnSandbox) -> None:
    kid = sandbox.kid()
    sandbox.fault("malformed")
    sandbox.get("/clerk/v1/jwks")
    assert sandbox.calls()

    sandbox.reset()

    assert sandbox.get("/_sandbox/faults").json() == {"faults": []}
    assert sandbox.calls() == []
    assert sandbox.kid() == kid
