"""Devices at the API: registered, listed without tokens, forgotten."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from notifications.models import PushDevice
from slotbase.accounts.models import User
from tests.bookings.routes import client_of
from tests.factories import make_customer
from tests.notifications.pushes import register

pytestmark = pytest.mark.django_db

DEVICES = "/api/v1/devices/"
WISH = {"token": "canary-token", "platform": "ANDROID"}


@pytest.fixture
def alice() -> User:
    return make_customer()


@pytest.fixture
def api(alice: User) -> APIClient:
    return client_of(alice)


def test_a_new_device_is_201_and_a_known_one_200(api: APIClient, alice: User) -> None:
    first = api.post(DEVICES, WISH, "json")
    again = api.post(DEVICES, {**WISH, "app_version": "2.0"}, "json")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert again.json()["app_version"] == "2.0"
    assert PushDevice.objects.get().user == alice
    assert "canary" not in str(first.content + again.content)


def test_an_idempotency_key_gives_the_same_answer(api: APIClient) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, again = (api.post(DEVICES, WISH, "json", headers=headers) for _ in range(2))
    other = api.post(DEVICES, {**WISH, "token": "x"}, "json", headers=headers)

    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
    assert again["Idempotent-Replayed"] == "true"
    assert PushDevice.objects.get().generation == 1


def test_a_phone_that_changes_hands_is_the_last_ones(api: APIClient) -> None:
    id_ = api.post(DEVICES, WISH, "json").json()["id"]
    bob = client_of(make_customer())

    moved = bob.post(DEVICES, WISH, "json")

    assert (moved.status_code, moved.json()["id"]) == (200, id_)
    assert api.get(DEVICES).json()["results"] == []
    assert len(bob.get(DEVICES).json()["results"]) == 1
    assert api.delete(f"{DEVICES}{id_}/").status_code == 404
    assert PushDevice.objects.get().status == "ACTIVE"


def test_a_list_has_ones_own_active_devices_and_no_tokens(
    api: APIClient, alice: User
) -> None:
    first, second, _ = (
        register(alice, "canary-1"),
        register(alice, "canary-2"),
        register(),
    )

    listed = api.get(DEVICES)

    assert [each["id"] for each in listed.json()["results"]] == [
        *(str(second.pk), str(first.pk))
    ]
    assert "canary" not in listed.content.decode()
    assert set(listed.json()["results"][0]) == {
        *("id", "platform", "app_version", "registered_at", "last_seen_at")
    }


def test_a_forgotten_device_is_204_also_the_second_time(
    api: APIClient, alice: User
) -> None:
    device = register(alice)

    answers = [api.delete(f"{DEVICES}{device.pk}/") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 204]
    assert api.get(DEVICES).json()["results"] == []
    assert api.delete(f"{DEVICES}{uuid4()}/").status_code == 404


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"platform": "ANDROID"}, "token"),
    ({"token": "t"}, "platform"),
    ({"token": "", "platform": "ANDROID"}, "token"),
    ({"token": "a b", "platform": "ANDROID"}, "token"),
    ({"token": " t", "platform": "ANDROID"}, "token"),
    ({"token": "t\n", "platform": "ANDROID"}, "token"),
    ({"token": "ü", "platform": "ANDROID"}, "token"),
    ({"token": "x" * 4097, "platform": "ANDROID"}, "token"),
    ({"token": ["t"], "platform": "ANDROID"}, "token"),
    ({"token": "t", "platform": "PAGER"}, "platform"),
    ({"token": "t", "platform": "ANDROID", "kind": "TOPIC"}, "kind"),
    ({"token": "t", "platform": "ANDROID", "kind": None}, "kind"),
    ({"token": "t", "platform": "ANDROID", "app_version": "x" * 33}, "app_version"),
    ({"token": "t", "platform": "ANDROID", "user": 1}, "user"),
]


@pytest.mark.parametrize(("body", "field"), WRONG)
def test_bad_input_is_refused_and_the_field_is_named(
    api: APIClient, body: dict[str, Any], field: str
) -> None:
    answer = api.post(DEVICES, body, "json")

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert [*answer.json()["errors"]] == [field]
    assert PushDevice.objects.count() == 0


def test_who_is_not_signed_in_has_no_devices() -> None:
    assert APIClient().get(DEVICES).status_code == 401
    assert APIClient().post(DEVICES, WISH, "json").status_code == 401
