"""S40: whoever loses a right has lost it at the next request, in an open session."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from rest_framework.test import APIClient

from slotbase.accounts.models import RevokedSession, User
from slotbase.accounts.services import signing_keys
from tests.conftest import Sandbox
from tests.factories import make_customer, make_staff, make_venue

pytestmark = pytest.mark.django_db
BOOKINGS, MINE = "/admin/bookings/booking/", "/api/v1/bookings/"


@pytest.fixture
def bob() -> User:
    return make_staff("front_desk", [make_venue()])


@pytest.mark.parametrize(
    "take_away",
    [
        lambda bob: bob.groups.clear(),
        lambda bob: User.objects.filter(pk=bob.pk).update(is_active=False),
        lambda bob: User.objects.filter(pk=bob.pk).update(is_staff=False),
        lambda _: Group.objects.get(name="front_desk").permissions.clear(),
    ],
    ids=["group", "account", "staff", "rights of the group"],
)
def test_staff_who_lose_it_are_out(
    client: Client, bob: User, take_away: Callable[[User], Any]
) -> None:
    client.force_login(bob)
    assert client.get(BOOKINGS).status_code == 200

    take_away(bob)

    assert client.get(BOOKINGS).status_code in {302, 403}


def test_a_customer_who_is_disabled_or_signed_out_is_out(sandbox: Sandbox) -> None:
    signing_keys.forget_cached_keys()
    alice = make_customer()
    minted = sandbox.post("/_sandbox/tokens", {"sub": alice.clerk_id, "ttl": 600})
    api = APIClient()
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {minted['token']}")
    assert api.get(MINE).status_code == 200

    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert api.get(MINE).status_code == 403
    User.objects.filter(pk=alice.pk).update(is_active=True)
    RevokedSession.objects.create(session_id=minted["sid"])
    assert api.get(MINE).status_code == 401
