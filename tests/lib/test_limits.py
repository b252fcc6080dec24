"""Limits by address, for all, and for staff: before anybody is asked who they are."""

import time
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from slotbase.accounts.models import User
from slotbase.lib import counts
from slotbase.lib.addresses import address_of
from tests.factories import make_customer, make_staff

pytestmark = pytest.mark.django_db
VENUES, BOOKINGS, ADMIN = "/api/v1/venues/", "/api/v1/bookings/", "/admin/login/"
ELSEWHERE = "203.0.113.9"
PAGES = [VENUES, "/api/schema/", "/api/docs/", "/unsubscribe/x/", "/nowhere/", ADMIN]


@pytest.fixture(autouse=True)
def _early_in_a_minute() -> None:
    if (left := 60 - time.time() % 60) < 10:
        time.sleep(left)


def statuses(path: str, times: int, **more: Any) -> list[int]:
    return [Client().get(path, **more).status_code for _ in range(times)]


def api_of(customer: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(customer)
    return api


# --- By address ---------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_each_kind_of_page_is_limited_by_address(path: str, settings: Settings) -> None:
    """S6: whatever is asked for, found or not."""
    settings.THROTTLE_SHARED_ADDRESS_PER_MINUTE = 2

    answers = [Client().get(path) for _ in range(3)]

    assert answers[0].status_code == answers[1].status_code != 429
    assert answers[2].status_code == 429
    assert 1 <= int(answers[2]["Retry-After"]) <= 60
    assert statuses(path, 1, REMOTE_ADDR=ELSEWHERE) == [answers[0].status_code]


def test_many_accounts_do_not_get_around_the_limit_of_their_address(
    settings: Settings,
) -> None:
    """S6, F10: an attacker with as many accounts as they like."""
    settings.THROTTLE_SHARED_ADDRESS_PER_MINUTE = 5

    answers = [api_of(make_customer()).get(BOOKINGS).status_code for _ in range(7)]

    assert answers == [200] * 5 + [429] * 2


def test_a_hundred_customers_of_a_venue_share_an_address_in_peace() -> None:
    """S6: with the limits as they come, each may ask 50 times a minute."""
    window = int(time.time()) // counts.WINDOW_SECONDS
    for _ in range(100 * 49):
        counts.count_request("all:anything:127.0.0.1", window)

    answers = [api_of(make_customer()).get(VENUES).status_code for _ in range(100)]

    assert answers == [200] * 100
    assert counts.count_request("all:anything:127.0.0.1", window) == 100 * 50 + 1


def test_what_a_provider_tells_is_not_refused_in_normal_work() -> None:
    """F48: 500 webhooks in five seconds, and so on for a minute, from one address."""
    window = int(time.time()) // counts.WINDOW_SECONDS
    for _ in range(500 * 12):
        counts.count_request("all:webhooks:127.0.0.1", window)

    answer = Client().post("/webhooks/stripe/", b"{}", "application/json")

    assert answer.status_code == 400  # not signed, but looked at


def test_webhooks_are_counted_apart_and_limited_by_address(settings: Settings) -> None:
    """S6: neither guests of the same address nor a flood of all keeps money out."""
    settings.THROTTLE_SHARED_ADDRESS_PER_MINUTE = (
        settings.THROTTLE_GLOBAL_PER_MINUTE
    ) = 0
    settings.THROTTLE_WEBHOOKS_PER_MINUTE = 2

    def post(**more: Any) -> int:
        path, kind = "/webhooks/stripe/", "application/json"
        return Client().post(path, b"{}", kind, **more).status_code

    assert [post() for _ in range(3)] == [400, 400, 429]
    assert post(REMOTE_ADDR=ELSEWHERE) == 400


@pytest.mark.parametrize(
    "path", [BOOKINGS, "/webhooks/stripe/", "/unsubscribe/x/", ADMIN, "/nowhere/"]
)
def test_no_address_takes_a_body_that_is_too_large(path: str) -> None:
    """S5, F48: 256 KB, everywhere, and unread."""
    body = b"x" * (256 * 1024 + 1)

    assert Client().post(path, body, "text/plain").status_code == 413


# --- For all ------------------------------------------------------------------


def test_what_is_too_much_for_all_is_refused_with_503(settings: Settings) -> None:
    """S6: from any number of addresses."""
    settings.THROTTLE_GLOBAL_PER_MINUTE = 3

    answers = [
        Client().get(VENUES, REMOTE_ADDR=f"203.0.113.{each}") for each in range(4)
    ]

    assert [each.status_code for each in answers] == [200, 200, 200, 503]
    assert answers[3].json()["code"] == "try_again"
    assert 1 <= int(answers[3]["Retry-After"]) <= 60


def test_one_address_cannot_use_up_what_is_for_all(settings: Settings) -> None:
    """S6: what is refused to it does not count."""
    settings.THROTTLE_SHARED_ADDRESS_PER_MINUTE = 2
    settings.THROTTLE_GLOBAL_PER_MINUTE = 3
    statuses(VENUES, 20)

    assert statuses(VENUES, 1, REMOTE_ADDR=ELSEWHERE) == [200]


def test_staff_and_health_are_there_while_customers_are_too_many(
    settings: Settings,
) -> None:
    settings.THROTTLE_GLOBAL_PER_MINUTE = 0

    assert statuses(VENUES, 1) == [503]
    assert statuses(ADMIN, 1) == [200]
    assert statuses("/health/live", 1) == [200]


# --- Staff --------------------------------------------------------------------


def test_a_member_of_staff_is_limited_on_any_number_of_addresses(
    settings: Settings,
) -> None:
    """S6: a session that was stolen copies no list of customers in a minute."""
    settings.THROTTLE_USER_PER_MINUTE = 2
    staff = Client()
    staff.force_login(make_staff())

    answers = [
        staff.get("/admin/", REMOTE_ADDR=f"203.0.113.{each}") for each in range(3)
    ]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert "text/html" in answers[2]["Content-Type"]


# --- Behind a proxy -----------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        (0, "198.51.100.7", "192.0.2.1"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (2, "203.0.113.1, 198.51.100.7, 192.0.2.9", "198.51.100.7"),
        (2, "198.51.100.7", "198.51.100.7"),
        (1, None, "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "unknown", "192.0.2.1"),
        (1, "198.51.100.7:4711", "198.51.100.7"),
        (1, "[2001:db8:1:2:3::4]:4711", "2001:db8:1:2::/64"),
        (1, "2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        (1, "::ffff:198.51.100.7", "198.51.100.7"),
    ],
)
def test_the_address_is_what_our_own_proxies_say(
    proxies: int, forwarded: str | None, expected: str, settings: Settings
) -> None:
    """S6: NUM_PROXIES, networks of IPv6, and headers that are missing or nonsense."""
    settings.NUM_PROXIES = proxies
    meta = {"REMOTE_ADDR": "192.0.2.1"}
    if forwarded is not None:
        meta["HTTP_X_FORWARDED_FOR"] = forwarded

    assert address_of(meta) == expected


def test_without_any_address_there_is_one_for_all() -> None:
    assert address_of({}) == address_of({"REMOTE_ADDR": ""}) == "unknown"


@pytest.mark.parametrize(("proxies", "last"), [(1, 429), (2, 200)])
def test_a_made_up_forwarded_address_does_not_help_behind_a_proxy(
    proxies: int, last: int, settings: Settings
) -> None:
    """S6; with one proxy too many in the settings, it would."""
    settings.NUM_PROXIES = proxies
    settings.THROTTLE_ADDRESS_PER_MINUTE = 2

    answers = [
        Client()
        .get(VENUES, headers={"X-Forwarded-For": f"203.0.113.{each}, 198.51.100.7"})
        .status_code
        for each in range(3)
    ]

    assert answers == [200, 200, last]
