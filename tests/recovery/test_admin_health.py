"""The page Health: how every part is, in words as well as colours."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from recovery import heartbeats, provider_status
from recovery.heartbeats import QUEUES
from slotbase.accounts.models import User
from slotbase.providers.errors import Outcome, ProviderError
from slotbase.providers.reports import Report
from tests.factories import make_staff

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = reverse("admin:recovery_providerstatus_changelist")


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotbase.lib.look.WAIT_SECONDS", 20)


def fail_stripe() -> None:
    tally = provider_status.Tally()
    error = ProviderError(Outcome.UNKNOWN, provider="stripe", code="no_answer")
    tally.add(Report("stripe"))
    tally.add(Report("stripe", error, open_seconds=60))
    provider_status.write({"stripe": tally})


def page_of(client: Client, person: User, address: str = PAGE) -> Any:
    client.force_login(person)
    return client.get(address)


def member_of(group: str) -> User:
    return make_staff(group)


@pytest.mark.parametrize("group", ["support", "support_lead", "operations", "auditor"])
def test_who_operates_it_sees_it_and_is_led_there(client: Client, group: str) -> None:
    person = member_of(group)

    assert page_of(client, person).status_code == 200
    assert PAGE in client.get("/admin/").content.decode()


@pytest.mark.parametrize("group", ["front_desk", "manager"])
def test_others_do_not(client: Client, group: str) -> None:
    assert page_of(client, member_of(group)).status_code == 403


def test_trouble_is_told_in_words(client: Client) -> None:
    fail_stripe()
    heartbeats.record_heartbeat("beat@host")

    text = page_of(client, member_of("operations")).content.decode()

    assert "No worker serves money" in text
    assert "Beat sends its wake-ups." in text
    assert "calls are held back" in text
    assert "In trouble" in text
    assert "1 went well, 1 failed" in text
    assert "Not set up" in text


def test_a_well_product_is_told_so_and_every_part_stands_there(client: Client) -> None:
    heartbeats.record_heartbeat("beat@host")
    for queue in QUEUES:
        heartbeats.record_heartbeat(f"worker@host {queue}")

    page = page_of(client, member_of("support"))

    text = page.content.decode()
    assert [part["name"] for part in page.context["parts"]][:3] == [
        "Database",
        "Redis",
        "Stripe",
    ]
    assert "In trouble" not in text
    assert "last heard of" in text


def test_a_provider_has_a_page_with_what_is_known_of_it(client: Client) -> None:
    fail_stripe()
    address = reverse("admin:recovery_providerstatus_change", args=["stripe"])

    text = page_of(client, member_of("auditor"), address).content.decode()

    assert "Calls are held back" in text
    assert "no_answer" in text
