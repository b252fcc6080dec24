"""CLERK_JWT_KEYS: keys that are given need no answer of Clerk."""

from typing import Any

import jwt
import pytest

from slotbase.accounts.errors import AuthUnavailable, TokenInvalid
from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.services.sign_in import sign_in
from slotbase.accounts.tasks import refresh_signing_keys as refresh_task
from slotbase.lib.pem import read_public_key
from slotbase.sandbox.keys import SigningKey
from tests.accounts.conftest import last_attempt_was
from tests.sandbox.client import SandboxClient, free_port

pytestmark = pytest.mark.django_db


def pem(sandbox: SandboxClient) -> str:
    """The sandbox's key as Clerk's dashboard shows it."""
    [entry] = sandbox.get("/clerk/.well-known/jwks.json").json()["keys"]
    sandbox.reset()
    return as_pem(jwt.PyJWK(entry).key)


def as_pem(key: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = key.public_bytes(serialization.Encoding.PEM, form)
    return encoded.decode()


@pytest.fixture
def clerk_is_gone(settings: Any) -> None:
    settings.CLERK_JWKS_URL = f"http://127.0.0.1:{free_port()}/jwks.json"


@pytest.mark.parametrize("jwks", ["", "gone"])
@pytest.mark.parametrize("line_break", ["\n", "\\n"])
def test_a_cold_start_with_given_keys_needs_no_network(
    sandbox: SandboxClient, settings: Any, jwks: str, line_break: str
) -> None:
    """F83: the keys are in the settings, and Clerk is not asked at all."""
    settings.CLERK_JWT_KEYS = [pem(sandbox).replace("\n", line_break)]
    settings.CLERK_JWKS_URL = jwks and f"http://127.0.0.1:{free_port()}/{jwks}"

    user, _ = sign_in(token=sandbox.token("user_alice"))

    assert user.clerk_id == "user_alice"
    assert sandbox.calls() == []
    assert not SigningKeySet.objects.exists()


@pytest.mark.usefixtures("clerk_is_gone")
def test_a_cold_start_with_neither_is_503_and_not_401(sandbox: SandboxClient) -> None:
    """F83, and the positive control of the test above."""
    with pytest.raises(AuthUnavailable) as refused:
        sign_in(token=sandbox.token("user_alice"))

    assert refused.value.retry_after == 10


@pytest.mark.usefixtures("clerk_is_gone")
def test_the_next_key_serves_beside_the_current_one(
    sandbox: SandboxClient, settings: Any
) -> None:
    current, token = pem(sandbox), sandbox.token("user_alice")
    sandbox.rotate()
    settings.CLERK_JWT_KEYS = [current, pem(sandbox)]

    sign_in(token=token)
    sign_in(token=sandbox.token("user_alice"))


def test_without_a_key_set_what_no_given_key_signed_is_refused(
    sandbox: SandboxClient, settings: Any
) -> None:
    settings.CLERK_JWT_KEYS, settings.CLERK_JWKS_URL = [pem(sandbox)], ""

    for changes in (
        {"key": "foreign"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "RS384"},
    ):
        with pytest.raises(TokenInvalid):
            sign_in(token=sandbox.token("user_mallory", **changes))
    refresh_task()
    assert sandbox.calls() == []


def test_a_key_that_was_not_given_is_learnt_from_clerk(
    sandbox: SandboxClient, settings: Any
) -> None:
    """A rotation that nobody entered into the settings signs nobody out."""
    settings.CLERK_JWT_KEYS = [pem(sandbox)]
    sandbox.rotate()

    sign_in(token=sandbox.token("user_alice"))

    assert len(sandbox.calls()) == 1


def test_with_given_keys_a_flood_asks_once_a_minute(
    sandbox: SandboxClient, settings: Any
) -> None:
    """F84: also while Clerk has never answered."""
    settings.CLERK_JWT_KEYS = [pem(sandbox)]
    sandbox.fault("5xx")
    for seconds in (None, 0, 11, 59):
        if seconds is not None:
            last_attempt_was(seconds_ago=seconds)
        with pytest.raises(AuthUnavailable):
            sign_in(token=sandbox.token("user_m", key="foreign"))

    assert len(sandbox.calls()) == 1


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PUBLIC KEY-----"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever its text
        read_public_key(text)


def test_a_short_key_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it is refused
    curve = ec.generate_private_key(ec.SECP256R1())
    for key in (short, curve):
        with pytest.raises(ValueError, match="2048"):
            read_public_key(as_pem(key.public_key()))
    good = SigningKey.generate().public_pem().decode()
    assert read_public_key(good).key_size == 2048
