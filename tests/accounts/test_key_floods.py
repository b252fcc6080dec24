"""Floods of tokens with made-up keys, and everybody else meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from recovery import health
from slotbase.accounts.errors import AuthUnavailable, TokenInvalid
from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.services import signing_keys
from tests.sandbox.client import SandboxClient

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("keys", "ended_looks"),
]

WEB_THREADS = 8
FORGED = 20


@dataclass(frozen=True)
class Served:
    """What an answer was, and when it was there."""

    status: int
    at: float


@pytest.fixture
def ended_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has been looked at before: that look is waited for."""
    with monkeypatch.context() as patient:
        patient.setattr("slotbase.lib.look.WAIT_SECONDS", 20)
        assert health.find_unready_part() is None
    yield
    health.forget()


def serve(sandbox: SandboxClient) -> tuple[list[Served], list[Served]]:
    """The answers to forged tokens, and to who comes after them to the same threads."""
    forged = [
        (
            "/api/v1/bookings/",
            sandbox.token("user_m", key="foreign", headers={"kid": k}),
        )
        for k in (f"ins_{number}" for number in range(FORGED))
    ]
    good = sandbox.token("user_alice")
    others = [("/api/v1/bookings/", good), ("/health/ready", "")]
    with ThreadPoolExecutor(WEB_THREADS) as threads:
        answers = list(threads.map(serve_one, [*forged, *others]))
    return answers[:FORGED], answers[FORGED:]


def serve_one(request: tuple[str, str]) -> Served:
    address, token = request
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        status = Client().get(address, headers=headers).status_code
        return Served(status, time.time())
    finally:
        connection.close()


def clerk_was_given_up_at() -> float:
    failed_at = SigningKeySet.objects.get().failed_at
    assert failed_at is not None
    return failed_at.timestamp()


def test_while_clerk_hangs_made_up_keys_keep_no_web_threads(
    sandbox: SandboxClient,
) -> None:
    """F83, F84: who has a good token, and whoever looks at us, is served meanwhile."""
    sandbox.fault("hang", "*")

    forged, others = serve(sandbox)

    end = clerk_was_given_up_at()
    assert [each.status for each in others] == [200, 200]
    assert all(each.at < end for each in others)
    assert {each.status for each in forged} == {503}
    assert sum(each.at >= end for each in forged) <= signing_keys.SEATS
    assert len(sandbox.calls()) == 1


def test_without_the_seats_they_would_keep_all_of_them(
    sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: whoever came later waited for most of the attempt.

    Those who wait give up by themselves, on a busy machine some time before it ends.
    """
    monkeypatch.setattr(signing_keys, "_seats", threading.BoundedSemaphore(FORGED))
    sandbox.fault("hang", "*")
    begin = time.time()

    forged, others = serve(sandbox)

    middle = begin + (clerk_was_given_up_at() - begin) / 2
    assert all(each.at >= middle for each in [*forged, *others])


def test_after_the_attempt_nobody_waits_or_asks_the_database(
    sandbox: SandboxClient, django_assert_num_queries: Callable[[int], Any]
) -> None:
    """F84: what the process remembers is enough to refuse a made-up key."""
    sandbox.fault("hang", "*")
    token = sandbox.token("user_m", key="foreign")
    with pytest.raises(AuthUnavailable):
        signing_keys.find_signing_key(token)

    with django_assert_num_queries(0), pytest.raises(AuthUnavailable):
        signing_keys.find_signing_key(token)


def test_while_clerk_is_well_nobody_queues_for_it_either(
    sandbox: SandboxClient,
) -> None:
    """F84: all seats are taken, as by a slow answer: the next one goes at once."""
    token = sandbox.token("user_m", key="foreign")
    for _ in range(signing_keys.SEATS):
        signing_keys._seats.acquire()
    try:
        with pytest.raises(AuthUnavailable):
            signing_keys.find_signing_key(token)
        signing_keys.find_signing_key(sandbox.token("user_alice"))
        assert sandbox.calls() == []
    finally:
        signing_keys._seats.release(signing_keys.SEATS)
    # The positive control: with a seat it is asked for, and found to be made up.
    with pytest.raises(TokenInvalid):
        signing_keys.find_signing_key(token)


def test_tokens_that_nobody_can_check_count_for_their_address(
    sandbox: SandboxClient, settings: Any
) -> None:
    """S6: and who has a good token is not hit by what they used up."""
    settings.THROTTLE_ADDRESS_PER_MINUTE = 3
    sandbox.fault("5xx", "*")
    forged = sandbox.token("user_m", key="foreign")
    good = sandbox.token("user_alice")

    statuses = [serve_here(forged) for _ in range(5)]

    assert statuses == [503] * 3 + [429] * 2
    assert [serve_here(good) for _ in range(5)] == [200] * 5


def serve_here(token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return Client().get("/api/v1/bookings/", headers=headers).status_code
