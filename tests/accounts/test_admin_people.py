"""Back office: operations decides who works here; nobody decides about themselves."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from recovery.models import OutboxEvent
from slotbase.accounts.models import User, Venue
from tests.accounts.staff import entries, give_factor
from tests.factories import make_customer, make_staff, make_venue

pytestmark = pytest.mark.django_db

PEOPLE = reverse("admin:accounts_user_changelist")
ADD = reverse("admin:accounts_user_add")
PASSWORD = "correct-horse-battery"


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga Operations")


@pytest.fixture
def operations(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


@pytest.fixture
def bob() -> User:
    return give_factor(make_staff("front_desk", name="Bob Baker"))


def page_of(user: User) -> str:
    return reverse("admin:accounts_user_change", args=[user.pk])


def password_of(user: User) -> str:
    return reverse("admin:auth_user_password_change", args=[user.pk])


def rights_of(user: User) -> str:
    return reverse("admin:accounts_user_rights", args=[user.pk])


def change(user: User, **more: Any) -> dict[str, Any]:
    """The form of a person, as it is."""
    return {"name": user.name, "is_active": "on", **more}


def ask(client: Client, user: User, *groups: str, **more: Any) -> Any:
    """Open the page of their rights, ask for these groups, and press the button."""
    form = client.get(rights_of(user)).context["form"]
    values = {name: form[name].value() for name in form.fields}
    given = {name: value for name, value in values.items() if value}
    typed = {"groups": groups, "reason": "She moves up", **more}
    sent = {name: value for name, value in {**given, **typed}.items() if value}
    return client.post(rights_of(user), sent)


def test_operations_adds_staff_without_rights(operations: Client, olga: User) -> None:
    given = {"username": "nina", "name": "Nina", "password1": PASSWORD}

    answer = operations.post(ADD, {**given, "password2": PASSWORD})

    nina = User.objects.get(username="nina")
    assert answer["Location"] == page_of(nina)
    assert nina.is_staff
    assert not nina.is_superuser
    assert not nina.groups.exists()
    assert nina.check_password(PASSWORD)
    assert entries(nina) == [("user.added", str(olga.pk), "")]


def test_a_login_needs_a_name_to_sign_in_with(operations: Client) -> None:
    given = {"username": "", "password1": PASSWORD, "password2": PASSWORD}

    assert operations.post(ADD, given).status_code == 200
    assert User.objects.count() == 1


def test_nobody_changes_themselves(operations: Client, olga: User) -> None:
    assert operations.post(page_of(olga), change(olga)).status_code == 403
    assert operations.post(rights_of(olga), {}).status_code == 403
    assert operations.post(password_of(olga), {}).status_code == 403


def test_only_a_superuser_changes_a_superuser(operations: Client) -> None:
    root, other_root = make_staff(is_superuser=True), make_staff(is_superuser=True)

    assert operations.post(page_of(root), change(root)).status_code == 403
    assert operations.post(rights_of(root), {}).status_code == 403
    assert operations.post(password_of(root), {}).status_code == 403
    operations.force_login(other_root)
    assert operations.post(page_of(root), change(root)).status_code == 302
    assert operations.get(rights_of(root)).status_code == 200


def test_the_page_of_a_person_changes_their_name_and_no_rights(
    operations: Client, bob: User
) -> None:
    more = {"is_superuser": "on", "is_staff": "", "groups": "1", "is_active": ""}

    operations.post(page_of(bob), change(bob, name="Rob", **more))

    bob.refresh_from_db()
    assert (bob.name, bob.is_staff, bob.is_superuser) == ("Rob", True, False)
    assert bob.is_active
    assert [group.name for group in bob.groups.all()] == ["front_desk"]


def test_a_customer_is_locked_out_on_their_page(operations: Client) -> None:
    alice = make_customer("Alice")

    operations.post(page_of(alice), change(alice, is_active=""))

    alice.refresh_from_db()
    assert not alice.is_active


def test_staff_get_a_new_password_with_an_entry(
    operations: Client, olga: User, bob: User
) -> None:
    new = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}

    assert operations.get(password_of(bob)).status_code == 200
    assert operations.post(password_of(bob), new).status_code == 302

    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)
    assert entries(bob) == [("user.changed", str(olga.pk), "changed password")]


def test_customers_get_no_password_and_no_rights(operations: Client) -> None:
    alice = make_customer()

    page = operations.get(page_of(alice)).content.decode()
    assert operations.get(password_of(alice)).status_code == 403
    assert operations.post(rights_of(alice), {"groups": "manager"}).status_code == 403

    assert "Superuser" not in page
    assert not alice.groups.exists()


@pytest.mark.parametrize("group", ["front_desk", "manager", "support", "auditor"])
def test_others_change_nobody(client: Client, bob: User, group: str) -> None:
    client.force_login(make_staff(group))

    assert client.get(page_of(bob)).status_code == 200
    assert client.post(page_of(bob), change(bob)).status_code == 403
    assert client.get(rights_of(bob)).status_code == 403
    assert client.post(rights_of(bob), {"groups": "manager"}).status_code == 403
    assert client.get(ADD).status_code == 403
    assert client.get(password_of(bob)).status_code == 403


def test_contact_data_needs_its_own_permission(client: Client) -> None:
    alice = make_customer(email="alice@example.com", phone="+49 30 555 0101")
    pages = {}
    for group in ("front_desk", "auditor"):
        client.force_login(make_staff(group))
        found = (
            client.get(PEOPLE, {"q": "alice@example.com"}).context["cl"].result_count
        )
        text = client.post(page_of(alice), {"do": "show_contact_data"}).content
        pages[group] = (found, b"+49 30 555 0101" in text, b"alice@example" in text)

    assert pages == {"front_desk": (1, True, True), "auditor": (0, False, False)}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        *(("alice@example.com", 1), (" ALICE@example.com ", 1)),
        *(("alice@example", 0), ("@example.com", 0), ("alice@", 0)),
        *(("+49 30 555 0101", 1), ("+49305550101", 1), ("(030) 555-01.01", 1)),
        *(("5550101", 1), ("550101", 0), ("0101", 0), ("+49 30 555", 0), ("01%", 0)),
        *(("00005550101", 1), ("alice 5550101", 0), ("%5550101", 0), ("\u0663" * 8, 0)),
    ],
)
def test_only_the_whole_address_or_number_finds_somebody(
    client: Client, words: str, found: int
) -> None:
    """Else what is masked could be guessed letter by letter, and nobody would know."""
    make_customer("Ann", email="alice@example.com", phone="+49 30 555 0101")
    make_customer("Ben", email="ben@example.com", phone="")
    client.force_login(make_staff("front_desk"))

    assert client.get(PEOPLE, {"q": words}).context["cl"].result_count == found


@pytest.mark.parametrize("query", ["password__startswith=p", "email__startswith=a"])
def test_the_address_asks_nothing_about_passwords(
    operations: Client, query: str
) -> None:
    answer = operations.get(f"{PEOPLE}?{query}")

    assert (answer.status_code, answer["Location"]) == (302, f"{PEOPLE}?e=1")


@pytest.mark.parametrize(
    ("kind", "names"),
    [("staff", ["Olga"]), ("customer", ["Alice"]), ("walk_in", ["Wanda"])],
)
def test_one_list_of_customers_and_staff(
    operations: Client, kind: str, names: list[str]
) -> None:
    make_customer("Alice")
    make_customer("Wanda", clerk_id=None)

    listed = operations.get(PEOPLE, {"kind": kind}).context["cl"].result_list

    assert [user.name.split()[0] for user in listed] == names


# --- Venues and groups --------------------------------------------------------


def test_whoever_adds_a_venue_works_there(client: Client) -> None:
    mona = make_staff("manager")
    client.force_login(mona)
    given = {"name": "Lakeside", "slug": "lakeside", "currency": "CHF"}
    no_team = {"venuestaff_set-TOTAL_FORMS": 0, "venuestaff_set-INITIAL_FORMS": 0}

    client.post(
        reverse("admin:accounts_venue_add"),
        {**given, **no_team, "time_zone": "Europe/Zurich"},
    )

    lakeside = Venue.objects.get(slug="lakeside")
    page = client.get(reverse("admin:accounts_venue_change", args=[lakeside.pk]))
    assert page.status_code == 200
    assert "Bob Baker" in page.content.decode()


def test_the_money_of_a_venue_stays_and_its_clock_can_be_moved(client: Client) -> None:
    venue = make_venue()
    client.force_login(make_staff("manager", [venue]))
    given = {"name": "New", "time_zone": "Asia/Tokyo", "currency": "JPY"}
    no_team = {"venuestaff_set-TOTAL_FORMS": 0, "venuestaff_set-INITIAL_FORMS": 0}

    client.post(
        reverse("admin:accounts_venue_change", args=[venue.pk]), {**given, **no_team}
    )

    venue.refresh_from_db()
    assert (venue.name, venue.time_zone, venue.currency) == (
        "New",
        "Asia/Tokyo",
        "EUR",
    )
    event = OutboxEvent.objects.get(type="accounts.venue_time_zone_changed")
    assert event.subject_id == str(venue.pk)


def test_a_venue_whose_clock_stays_tells_nobody(client: Client) -> None:
    venue = make_venue()
    client.force_login(make_staff("manager", [venue]))
    given = {"name": "New", "time_zone": "Europe/Berlin"}
    no_team = {"venuestaff_set-TOTAL_FORMS": 0, "venuestaff_set-INITIAL_FORMS": 0}

    client.post(
        reverse("admin:accounts_venue_change", args=[venue.pk]), {**given, **no_team}
    )

    assert Venue.objects.get(pk=venue.pk).name == "New"
    assert not OutboxEvent.objects.exists()


def test_a_group_tells_its_people_and_rights(operations: Client, bob: User) -> None:
    group = Group.objects.get(name="front_desk")

    page = operations.get(reverse("admin:auth_group_change", args=[group.pk]))

    assert "Bob Baker" in page.content.decode()
    assert "Can view booking" in page.content.decode()
