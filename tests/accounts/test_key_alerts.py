"""Clerk's keys that do not come: who is told, and what /health and the doctor say."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recovery import conditions, health
from recovery.models import Alert
from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.services import signing_keys
from slotbase.doctor import installation, parts
from slotbase.providers.errors import ProviderError
from tests.sandbox.client import SandboxClient, free_port

pytestmark = pytest.mark.django_db(transaction=True)

OLD, MISSING = ("clerk_keys_old", "high"), ("clerk_keys_missing", "critical")


def wall_clock() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def keys_came(*, hours_ago: float | None) -> None:
    """Clerk answered then (None: never), and did not just now."""
    now = wall_clock()
    came = None if hours_ago is None else now - timedelta(hours=hours_ago)
    SigningKeySet.objects.create(
        pk=1, jwks={"keys": []}, fetched_at=came, failed_at=now
    )


def told() -> list[tuple[str, str]]:
    conditions.check()
    mine = Alert.objects.filter(category__startswith="clerk_keys")
    return [*mine.values_list("category", "severity")]


def seen() -> tuple[str, str]:
    [check] = [each for each in health.look_now().checks if each.name == "sign_in"]
    return check.status, check.code


@pytest.mark.parametrize(
    ("hours_ago", "given", "alerts", "state"),
    [
        (0.9, [], [], ("degraded", "clerk_away")),
        (1.1, [], [OLD], ("degraded", "clerk_away")),
        (23.9, [], [OLD], ("degraded", "clerk_away")),
        (24.1, [], [MISSING], ("unhealthy", "no_keys")),
        (None, [], [MISSING], ("unhealthy", "no_keys")),
        (24.1, ["a key"], [OLD], ("degraded", "clerk_away")),
        (None, ["a key"], [OLD], ("degraded", "clerk_away")),
    ],
)
def test_who_is_on_call_hears_of_an_outage_of_keys(
    settings: Any,
    hours_ago: float | None,
    given: list[str],
    alerts: list[tuple[str, str]],
    state: tuple[str, str],
) -> None:
    """F83: while there is time, and at once if nobody can sign in."""
    settings.CLERK_JWT_KEYS = given
    keys_came(hours_ago=hours_ago)

    assert told() == alerts
    assert seen() == state


def test_a_new_installation_tells_of_nothing_until_a_fetch_failed(
    settings: Any,
) -> None:
    assert (told(), seen()) == ([], ("healthy", ""))

    settings.CLERK_JWKS_URL = f"http://127.0.0.1:{free_port()}/jwks.json"
    with pytest.raises(ProviderError):
        signing_keys.refresh_signing_keys()

    assert (told(), seen()) == ([MISSING], ("unhealthy", "no_keys"))


def test_keys_that_came_end_it(sandbox: SandboxClient) -> None:
    keys_came(hours_ago=25)
    assert seen() == ("unhealthy", "no_keys")

    signing_keys.refresh_signing_keys()

    assert (told(), seen()) == ([], ("healthy", ""))


def test_without_the_address_of_keys_nobody_waits_for_them(settings: Any) -> None:
    settings.CLERK_JWKS_URL = ""
    keys_came(hours_ago=25)

    assert told() == []
    assert seen()[1] != "no_keys"


def test_no_keys_make_the_whole_degraded_so_that_staff_go_on() -> None:
    """F83: staff need no Clerk; nobody takes our processes away for it."""
    keys_came(hours_ago=25)

    assert health.look_now().status == "degraded"


def test_the_doctor_says_it_once() -> None:
    keys_came(hours_ago=25)

    said = [
        *(says for says, _ in parts.troubles_of(health.look_now())),
        *(says for says, _ in installation._keys()),
    ]

    assert [says for says in said if "key" in says] == [
        "Sign in: There are no keys of Clerk: no customer can sign in."
    ]
