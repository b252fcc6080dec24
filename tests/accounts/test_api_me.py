"""One's own profile, export and way out, over HTTP."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from recovery.models import AuditEntry
from slotbase.accounts.models import Erasure, User
from slotbase.accounts.services.erasing import erase_people
from tests.bookings.document import check_against_document
from tests.factories import make_booking, make_customer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("keys"),
]
ME = "/api/v1/me/"


@pytest.fixture
def alice() -> User:
    return make_customer(email="alice@example.com")


@pytest.fixture
def api(api_of: Callable[[User], APIClient], alice: User) -> APIClient:
    return api_of(alice)


def test_customers_see_and_change_their_profile(api: APIClient, alice: User) -> None:
    shown = api.get(ME)
    check_against_document(shown)
    assert shown.json()["email"] == "alice@example.com"

    wish = {"name": "Alice Älder", "phone": "+49 30 1234567", "locale": "de"}
    changed = api.patch(ME, wish, "json")

    check_against_document(changed)
    assert changed.json() == {**shown.json(), **wish}
    entry = AuditEntry.objects.get(action="customer.profile_changed")
    assert entry.reason == "changed locale, name, phone"
    api.patch(ME, wish, "json")
    assert AuditEntry.objects.filter(action=entry.action).count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "other@example.com"),
        ("email", None),
        ("phone", "call me"),
        ("phone", "1" * 41),
        ("locale", "english, please"),
        ("locale", ""),
        ("name", "a\nb"),
        ("name", "x" * 201),
        ("name", None),
        ("name", 0),
        ("phone", 30123456),
        ("locale", False),
        ("is_staff", True),
        ("erased_at", "2020-01-01T00:00:00Z"),
    ],
)
def test_what_cannot_be_changed_is_refused_by_name(
    api: APIClient, alice: User, field: str, value: Any
) -> None:
    answer = api.patch(ME, {field: value}, "json")

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_the_export_is_theirs_and_is_noted(api: APIClient, alice: User) -> None:
    make_booking(customer=make_customer("Charlie Chan"))

    answer = api.get("/api/v1/me/export/")

    told = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert json.loads(told)["accounts"]["person"][0]["id"] == str(alice.pk)
    assert "Charlie" not in told
    assert json.loads(told)["bookings"]["bookings"] == []
    assert answer["Cache-Control"] == "no-store"
    assert AuditEntry.objects.get(action="person.exported").actor_id == str(alice.pk)


def test_exports_are_limited(api: APIClient, settings: Any) -> None:
    settings.THROTTLE_EXPORTS_PER_MINUTE = 1

    statuses = [api.get("/api/v1/me/export/").status_code for _ in range(3)]

    assert 429 in statuses[1:]


def test_whoever_leaves_may_say_so_twice_and_do_nothing_else(
    api: APIClient, alice: User
) -> None:
    first, again = api.delete(ME), api.delete(ME)

    check_against_document(first)
    assert (first.status_code, again.status_code) == (202, 202)
    assert Erasure.objects.count() == 1
    for ask in (lambda: api.get(ME), lambda: api.patch(ME, {"name": "x"}, "json")):
        assert ask().status_code in {401, 403}
    assert api.get("/api/v1/bookings/").status_code in {401, 403}
    erase_people()
    assert api.delete(ME).status_code == 401
    assert User.objects.count() == 1


def test_what_stands_in_the_way_is_told(api: APIClient, alice: User) -> None:
    make_booking(customer=alice)

    answer = api.delete(ME)

    assert answer.status_code == 409
    assert answer.json()["code"] == "invalid_state"
    assert answer.json()["reasons"] == ["A booking is not over yet: cancel it first."]
    assert not Erasure.objects.exists()


def test_a_disabled_customer_who_did_not_ask_is_let_in_nowhere(
    api: APIClient, alice: User
) -> None:
    """The control of the way out: it is for those alone who asked."""
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert api.delete(ME).status_code == 403
    assert not Erasure.objects.exists()
