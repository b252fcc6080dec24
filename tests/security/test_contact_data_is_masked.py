"""Staff who collect addresses: they stand masked, and who asks for one is on record.

Each view of a page shows them once, to those who may see them, after one click.
"""

from typing import Any

import pytest
from django.test import Client

from bookings.models import Booking, BookingHold, WaitlistEntry
from notifications.models import Notification, PushDevice, Suppression
from recovery import backoffice
from recovery.models import AuditEntry, Case, InboxEvent, WebhookFailure
from slotbase.accounts.models import User, Venue
from slotbase.lib import columns
from slotbase.lib.masking import mask_contact
from tests.accounts.test_step_up import grow_old
from tests.factories import make_staff, make_venue
from tests.recovery.test_admin_pages import EACH_PAGE, address
from tests.security.rows import make_rows

pytestmark = pytest.mark.django_db

MAIL, PHONE = "alice@example.com", "+4930123456"
MASKED = ("a•••@e•••", "•••56")
BUTTON = 'value="show_contact_data"'
SHOW = {"do": "show_contact_data"}
PAYLOAD = {"data": {"object": {"receipt_email": MAIL, "phone": PHONE}}}
PEOPLE = (User, Booking, BookingHold, WaitlistEntry)
OF_THE_DESK = (*PEOPLE, Notification)
WEBHOOKS = (InboxEvent, WebhookFailure)
WITH_BUTTON = (*OF_THE_DESK, Case, *WEBHOOKS)


@pytest.fixture
def venue(settings: Any) -> Venue:
    """Where Alice has a row of each kind, with her address wherever one can stand."""
    venue, alice = make_rows(settings)
    Notification.objects.update(address_snapshot=MAIL)
    Case.objects.update(customer=alice)
    InboxEvent.objects.update(payload=PAYLOAD)
    return venue


def sign_in(group: str, *venues: Venue, **how: Any) -> Client:
    client = Client(**how)
    client.force_login(make_staff(group, venues))
    return client


@pytest.fixture
def support(venue: Venue) -> Client:
    return sign_in("support", venue)


@pytest.fixture
def desk(venue: Venue) -> Client:
    return sign_in("front_desk", venue)


def row_of(model: Any) -> Any:
    """Alice's row."""
    if model is User:
        return User.objects.get(email=MAIL)
    if model is Case:
        return WebhookFailure.objects.order_by("pk")[0]
    return model.objects.order_by("pk")[0]


def page_of(model: Any) -> str:
    return address(model, "change", row_of(model).pk)


def is_whole(page: Any) -> bool:
    text = page.content.decode()
    return MAIL in text or PHONE in text


def looks() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="person.contact_seen"))


# --- Masked everywhere -------------------------------------------------------------


@EACH_PAGE
def test_no_list_and_no_page_shows_them_not_even_to_a_superuser(
    venue: Venue, model: Any
) -> None:
    client = Client()
    client.force_login(make_staff(is_superuser=True))

    asked = [address(model, "changelist")]
    for row in model.objects.order_by("pk")[:5]:
        asked += [address(model, view, row.pk) for view in ("change", "history")]

    for each in asked:
        page = client.get(each)
        assert page.status_code == 200, each
        assert not is_whole(page), each
    assert looks() == []


def test_without_the_mask_they_would_be_seen(
    desk: Client, support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "mask_contact", lambda value: value)
    monkeypatch.setattr(backoffice, "mask", lambda payload: payload)

    for model in OF_THE_DESK:
        assert is_whole(desk.get(page_of(model))), model
    assert is_whole(desk.get(address(User, "changelist")))
    for model in (Case, *WEBHOOKS):
        assert is_whole(support.get(page_of(model))), model


@pytest.mark.parametrize("model", [*PEOPLE, Case])
def test_enough_is_left_to_compare_with_what_a_caller_says(
    support: Client, model: Any
) -> None:
    text = support.get(page_of(model)).content.decode()

    assert all(masked in text for masked in MASKED)


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        (MAIL, "a•••@e•••"),
        ("a@b", "a•••@b•••"),
        (PHONE, "•••56"),
        ("0101", "•••"),
        ("7", "•••"),
        ("", ""),
    ],
)
def test_a_mask_never_has_all_of_it(value: str, masked: str) -> None:
    assert mask_contact(value) == masked


# --- One click, one view, one entry ------------------------------------------------


@pytest.mark.parametrize("model", WITH_BUTTON)
def test_one_click_shows_them_for_that_view_and_is_on_record(
    support: Client, model: Any
) -> None:
    page, row = page_of(model), row_of(model)
    assert BUTTON in support.get(page).content.decode()

    shown = support.post(page, SHOW, headers={"X-Request-ID": "look-at-alice"})

    assert shown.status_code == 200
    assert is_whole(shown)
    assert BUTTON not in shown.content.decode()
    (entry,) = looks()
    about = row_of(InboxEvent) if model in WEBHOOKS else row_of(User)
    kind = "inboxevent" if model in WEBHOOKS else "user"
    assert (entry.subject_type, entry.subject_id) == (kind, str(about.pk))
    assert entry.actor_kind == "staff"
    assert User.objects.get(pk=entry.actor_id).groups.get().name == "support"
    assert str(row.pk) in entry.reason
    assert entry.request_id == shown["X-Request-ID"]
    assert not is_whole(support.get(page))


@pytest.mark.parametrize("model", OF_THE_DESK)
def test_the_front_desk_needs_no_code_for_it(desk: Client, model: Any) -> None:
    grow_old(desk)

    assert is_whole(desk.post(page_of(model), SHOW))


def test_each_look_has_its_entry_which_stands_in_the_history_of_the_person(
    support: Client,
) -> None:
    for _ in range(2):
        support.post(page_of(Booking), SHOW)

    assert len(looks()) == 2
    assert "Person contact seen" in support.get(page_of(User)).content.decode()


def test_the_address_of_a_page_asks_for_nothing(support: Client) -> None:
    for model in WITH_BUTTON:
        for method in (support.get, support.head):
            assert not is_whole(method(page_of(model), SHOW)), model
    assert not is_whole(support.get(address(User, "changelist"), SHOW))
    assert not is_whole(support.post(address(User, "changelist"), SHOW))
    assert looks() == []


def test_whoever_looks_saves_nothing(venue: Venue) -> None:
    client = Client()
    client.force_login(make_staff(is_superuser=True))

    shown = client.post(page_of(User), {**SHOW, "name": "Mallory"})

    assert is_whole(shown)
    assert row_of(User).name == "Alice Adler"


# --- Who does not ------------------------------------------------------------------


@pytest.mark.parametrize("model", WITH_BUTTON)
def test_the_auditor_has_no_button_and_is_refused(venue: Venue, model: Any) -> None:
    auditor = sign_in("auditor")

    assert BUTTON not in auditor.get(page_of(model)).content.decode()
    assert auditor.post(page_of(model), SHOW).status_code == 403
    assert looks() == []


@pytest.mark.parametrize("model", [User, *WEBHOOKS])
def test_nor_do_operations(venue: Venue, model: Any) -> None:
    operations = sign_in("operations")

    assert BUTTON not in operations.get(page_of(model)).content.decode()
    assert operations.post(page_of(model), SHOW).status_code == 403
    assert looks() == []


@pytest.mark.parametrize("model", [Booking, BookingHold, WaitlistEntry, Notification])
def test_at_another_venue_the_row_is_not_there(venue: Venue, model: Any) -> None:
    elsewhere = sign_in("front_desk", make_venue())

    answer = elsewhere.post(page_of(model), SHOW)

    assert answer.status_code == 302
    assert looks() == []


@pytest.mark.parametrize("model", WITH_BUTTON)
def test_a_form_without_its_token_shows_nothing(
    venue: Venue, settings: Any, model: Any
) -> None:
    strict = sign_in("support", venue, enforce_csrf_checks=True)

    assert strict.post(page_of(model), SHOW).status_code == 403
    assert looks() == []

    strict.get(page_of(model))
    token = strict.cookies[settings.CSRF_COOKIE_NAME].value
    with_token = strict.post(page_of(model), {**SHOW, "csrfmiddlewaretoken": token})
    assert is_whole(with_token)


@pytest.mark.parametrize("model", [PushDevice, Suppression])
def test_where_none_stand_there_is_no_button(support: Client, model: Any) -> None:
    assert BUTTON not in support.get(page_of(model)).content.decode()
    assert support.post(page_of(model), SHOW).status_code == 403
