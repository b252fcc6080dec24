"""Tokens are what Clerk would make, and differ only where a test asks for it."""

import time
from typing import Any

import jwt
import pytest

from tests.sandbox.client import OwnSandbox


def public_key(sandbox: OwnSandbox) -> Any:
    keys = sandbox.get("/clerk/.well-known/jwks.json").json()["keys"]
    return jwt.PyJWK(keys[0]).key


def read(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_a_token_is_signed_and_says_who_for_how_long(sandbox: OwnSandbox) -> None:
    minted = sandbox.mint("user_alice", ttl=120)

    claims = jwt.decode(minted["token"], public_key(sandbox), algorithms=["RS256"])

    assert claims["iss"] == f"{sandbox.url}/clerk"
    assert (claims["sub"], claims["sid"]) == ("user_alice", minted["sid"])
    assert claims["azp"] == "http://localhost"
    assert claims["exp"] - claims["iat"] == 120
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["nbf"] <= claims["iat"]


def test_many_customers_get_their_tokens_in_one_call(sandbox: OwnSandbox) -> None:
    subs = [f"user_{number}" for number in range(200)]

    answer = sandbox.post("/_sandbox/tokens", {"subs": subs, "ttl": 3600})

    tokens = answer.json()["tokens"]
    assert {sub: read(token)["sub"] for sub, token in tokens.items()} == {
        sub: sub for sub in subs
    }


def test_claims_and_headers_can_be_changed_and_removed(sandbox: OwnSandbox) -> None:
    token = sandbox.token(
        "user_1",
        claims={"azp": "https://other", "role": "x"},
        headers={"typ": "at+jwt"},
        remove=["exp", "kid"],
    )

    assert read(token)["azp"] == "https://other"
    assert read(token)["role"] == "x"
    assert "exp" not in read(token)
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "at+jwt"}


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384", "RS512"])
def test_forgeries_have_the_algorithm_that_was_asked_for(
    sandbox: OwnSandbox, algorithm: str
) -> None:
    token = sandbox.token("user_1", alg=algorithm)

    assert jwt.get_unverified_header(token)["alg"] == algorithm
    assert (token.split(".")[2] == "") == (algorithm == "none")


def test_after_a_rotation_the_old_key_is_gone_but_can_still_sign(
    sandbox: OwnSandbox,
) -> None:
    old = sandbox.kid()

    new = sandbox.rotate()

    assert sandbox.kid() == new != old
    previous = sandbox.token("user_1", key="previous")
    foreign = sandbox.token("user_1", key="foreign")
    assert jwt.get_unverified_header(previous)["kid"] == old
    assert jwt.get_unverified_header(foreign)["kid"] not in {old, new}


def test_without_a_rotation_there_is_no_previous_key(tmp_path: Any) -> None:
    sandbox = OwnSandbox(tmp_path, CLERK_AUTHORIZED_PARTIES="https://a,https://b")
    wish = {"sub": "user_1", "overrides": {"key": "previous"}}

    answer = sandbox.post("/_sandbox/tokens", wish)

    assert answer.status_code == 400
    assert "rotate" in answer.json()["error"]
    assert read(sandbox.token("user_1"))["azp"] == "https://a"
    sandbox.stop()
