"""Where the keys come from: rotation, floods, and Clerk being down."""

import time
from functools import partial
from typing import Any

import pytest

from slotbase.accounts.errors import AuthUnavailable, TokenInvalid
from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.services import signing_keys
from slotbase.accounts.services.sign_in import sign_in
from slotbase.accounts.services.signing_keys import StoredKeys
from slotbase.accounts.tasks import refresh_signing_keys as refresh_task
from tests.accounts.conftest import WhoAmI, keys_are_from, last_attempt_was
from tests.concurrency.race import at_once
from tests.sandbox.client import SandboxClient, free_port

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk_is_gone(settings: Any) -> None:
    settings.CLERK_JWKS_URL = f"http://127.0.0.1:{free_port()}/jwks.json"


def test_a_rotated_key_is_learnt_by_the_first_token_that_has_it(
    sandbox: SandboxClient, keys: None
) -> None:
    """F84: keys are rotated."""
    old = sandbox.token("user_alice")
    sign_in(token=old)
    sandbox.rotate()

    sign_in(token=sandbox.token("user_alice"))

    assert len(sandbox.calls()) == 1
    with pytest.raises(TokenInvalid):
        sign_in(token=old)


def test_one_rotation_soon_after_the_other_is_learnt_too(
    sandbox: SandboxClient, keys: None
) -> None:
    for _ in range(3):
        sandbox.rotate()
        sign_in(token=sandbox.token("user_alice"))

    assert len(sandbox.calls()) == 3


@pytest.mark.django_db(transaction=True)
def test_a_flood_of_unknown_keys_makes_one_fetch(
    sandbox: SandboxClient, keys: None
) -> None:
    """F84: random key ids are 401, and no storm of fetches."""
    tokens = [
        sandbox.token("user_m", key="foreign", headers={"kid": f"ins_{number}"})
        for number in range(40)
    ]

    outcomes = [
        *at_once([partial(sign_in, token=token) for token in tokens[:20]]),
        *at_once([partial(sign_in, token=token) for token in tokens[20:]]),
    ]

    # Who finds all seats taken while Clerk is asked gets an answer that is true then.
    assert {type(outcome) for outcome in outcomes[:20]} <= {
        TokenInvalid,
        AuthUnavailable,
    }
    assert [type(outcome) for outcome in outcomes[20:]] == [TokenInvalid] * 20
    assert len(sandbox.calls()) == 1


def test_after_a_minute_an_unknown_key_may_ask_again(
    sandbox: SandboxClient, keys: None
) -> None:
    """F84: once a minute, and not once in five (ADR 0038)."""
    unknown = sandbox.token("user_m", key="foreign")
    with pytest.raises(TokenInvalid):
        sign_in(token=unknown)
    fetches = []
    for seconds in (50, 61):
        last_attempt_was(seconds_ago=seconds)
        with pytest.raises(TokenInvalid):
            sign_in(token=unknown)
        fetches.append(len(sandbox.calls()))

    assert fetches == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_of_all_who_want_to_ask_at_once_one_wins() -> None:
    # Threads of one process wait for each other; PostgreSQL decides among processes.
    nothing_known = partial(signing_keys._win_right_to_ask, StoredKeys())

    assert at_once([nothing_known] * 20).count(True) == 1


@pytest.mark.django_db(transaction=True)
def test_what_another_process_learns_serves_whoever_waited_for_it(
    sandbox: SandboxClient,
) -> None:
    SigningKeySet.objects.create(pk=1, jwks={"keys": []})
    last_attempt_was(seconds_ago=0)

    signed_in, _ = at_once(
        [
            partial(sign_in, token=sandbox.token("user_alice")),
            signing_keys.refresh_signing_keys,  # as the other process does it
        ]
    )

    assert not isinstance(signed_in, Exception), signed_in
    assert len(sandbox.calls()) == 1


def test_when_another_process_got_no_answer_nobody_can_tell(
    sandbox: SandboxClient, keys: None
) -> None:
    keys_are_from(hours_ago=1)
    last_attempt_was(seconds_ago=5)

    with pytest.raises(AuthUnavailable):
        sign_in(token=sandbox.token("user_m", key="foreign"))
    sign_in(token=sandbox.token("user_alice"))
    assert sandbox.calls() == []


def test_a_cold_start_fetches_the_keys_with_the_first_token(
    sandbox: SandboxClient,
) -> None:
    sign_in(token=sandbox.token("user_alice"))

    assert len(sandbox.calls()) == 1
    assert SigningKeySet.objects.get().jwks["keys"][0]["kid"] == sandbox.kid()


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("hang", {}),
        ("reset_after_effect", {}),
        ("malformed", {}),
        ("5xx", {"status": 503}),
        ("4xx", {"status": 403}),
        ("4xx", {"status": 404}),
    ],
)
def test_a_cold_start_while_clerk_fails_is_503_and_not_401(
    sandbox: SandboxClient, who_am_i: WhoAmI, fault: str, options: dict[str, int]
) -> None:
    """F83: nobody is signed out, and nobody is let in."""
    token = sandbox.token("user_alice")
    sandbox.fault(fault, **options)
    began = time.monotonic()

    answers = [who_am_i(f"Bearer {token}") for _ in range(5)]

    assert time.monotonic() - began < 3.5
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["code"] for answer in answers} == {"auth_unavailable"}
    assert {answer.headers["Retry-After"] for answer in answers} == {"10"}
    assert len(sandbox.calls()) == 1


def test_after_a_failed_cold_start_the_next_attempt_is_ten_seconds_later(
    sandbox: SandboxClient, who_am_i: WhoAmI
) -> None:
    token = sandbox.token("user_alice")
    sandbox.fault("5xx", count=1)
    assert who_am_i(f"Bearer {token}").status_code == 503
    assert who_am_i(f"Bearer {token}").status_code == 503

    last_attempt_was(seconds_ago=11)

    assert who_am_i(f"Bearer {token}").status_code == 200


@pytest.mark.usefixtures("clerk_is_gone")
def test_stored_keys_serve_a_day_while_clerk_is_down(
    sandbox: SandboxClient, settings: Any
) -> None:
    """F83: stale if error, for a day."""
    gone = settings.CLERK_JWKS_URL
    settings.CLERK_JWKS_URL = f"{sandbox.url}/clerk/.well-known/jwks.json"
    signing_keys.refresh_signing_keys()
    settings.CLERK_JWKS_URL = gone
    token = sandbox.token("user_alice")

    keys_are_from(hours_ago=23.9)
    sign_in(token=token)

    keys_are_from(hours_ago=24.1)
    with pytest.raises(AuthUnavailable):
        sign_in(token=token)


def test_forgeries_with_a_known_key_are_401_while_clerk_is_down(
    sandbox: SandboxClient, keys: None, clerk_is_gone: None
) -> None:
    known = sandbox.token("user_m", key="foreign", headers={"kid": sandbox.kid()})

    with pytest.raises(TokenInvalid):
        sign_in(token=known)


def test_nobody_can_tell_about_an_unknown_key_while_clerk_is_down(
    sandbox: SandboxClient, keys: None, clerk_is_gone: None
) -> None:
    sandbox.rotate()

    with pytest.raises(AuthUnavailable):
        sign_in(token=sandbox.token("user_alice"))


def test_expired_tokens_stay_expired_while_clerk_is_down(
    sandbox: SandboxClient, keys: None, clerk_is_gone: None, who_am_i: WhoAmI
) -> None:
    """F87."""
    answer = who_am_i(f"Bearer {sandbox.token('user_alice', ttl=-10)}")

    assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")


def test_other_processes_see_new_keys_within_seconds(
    sandbox: SandboxClient, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(token=sandbox.token("user_alice"))
    SigningKeySet.objects.update(jwks={"keys": []}, fetched_at=None)
    monkeypatch.setattr(signing_keys._keys, "_reread_at", time.monotonic())
    sandbox.fault("5xx")

    with pytest.raises(AuthUnavailable):
        sign_in(token=sandbox.token("user_alice"))


def test_the_task_stores_new_keys(sandbox: SandboxClient, keys: None) -> None:
    kid = sandbox.rotate()

    refresh_task()

    assert [key["kid"] for key in SigningKeySet.objects.get().jwks["keys"]] == [kid]


def test_the_task_keeps_the_old_keys_when_clerk_fails(
    sandbox: SandboxClient, keys: None
) -> None:
    token = sandbox.token("user_alice")
    sandbox.fault("malformed")

    refresh_task(unknown_argument=1)

    sign_in(token=token)
