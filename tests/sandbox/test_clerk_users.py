"""The simulated Clerk knows everybody, until it is told otherwise."""

from typing import Any

import pytest

from tests.sandbox.client import OwnSandbox

AUTHORISED = {"Authorization": "Bearer sk_test_sandbox"}


def user(sandbox: OwnSandbox, id_: str = "user_alice") -> Any:
    return sandbox.get(f"/clerk/v1/users/{id_}", headers=AUTHORISED)


def describe(sandbox: OwnSandbox, **facts: Any) -> Any:
    return sandbox.post("/_sandbox/clerk/users", {"id": "user_alice", **facts})


def test_for_every_id_there_is_somebody(sandbox: OwnSandbox) -> None:
    alice = user(sandbox).json()

    assert (alice["object"], alice["first_name"]) == ("user", "Alice")
    (address,) = alice["email_addresses"]
    assert address["id"] == alice["primary_email_address_id"]
    assert address["email_address"] == "alice@example.com"
    assert address["verification"]["status"] == "verified"
    assert user(sandbox).json() == alice


def test_a_user_can_be_described_and_be_gone(sandbox: OwnSandbox) -> None:
    describe(sandbox, email="a@example.org", locale="de", verified=False)
    described = user(sandbox).json()
    describe(sandbox, gone=True)

    assert described["locale"] == "de"
    assert described["email_addresses"][0]["verification"]["status"] == "unverified"
    assert user(sandbox).status_code == 404
    assert user(sandbox).json()["errors"][0]["code"] == "resource_not_found"
    sandbox.reset()
    assert user(sandbox).status_code == 200


def test_a_user_may_have_no_address(sandbox: OwnSandbox) -> None:
    describe(sandbox, email="", phone="+4930")

    alice = user(sandbox).json()
    assert alice["email_addresses"] == []
    assert alice["primary_email_address_id"] is None
    assert alice["phone_numbers"][0]["phone_number"] == "+4930"


def test_without_the_secret_nobody_is_shown(sandbox: OwnSandbox) -> None:
    assert sandbox.get("/clerk/v1/users/user_alice").status_code == 401


@pytest.mark.parametrize(
    "told", [{"id": ""}, {"id": 7}, {"emial": "x"}, {"email": 7}, {"verified": "yes"}]
)
def test_what_cannot_be_described_is_400(sandbox: OwnSandbox, told: Any) -> None:
    assert describe(sandbox, **told).status_code == 400
