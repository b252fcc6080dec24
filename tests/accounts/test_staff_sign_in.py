"""The pages by which staff sign in: password, code, and nothing before (S14, S15)."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from recovery.models import AuditEntry
from slotbase.accounts import pending
from slotbase.accounts.models import SecondFactor, User
from slotbase.accounts.sign_in_pages import CODE_REFUSED, REFUSED
from slotbase.accounts.site import BackOffice
from tests.accounts.phones import (
    APP,
    CODE,
    LOGIN,
    Phone,
    codes_on,
    make_staff_with_phone,
    secret_on,
    show_password,
)
from tests.architecture.source import PACKAGES, read_sources
from tests.factories import make_customer, make_staff

pytestmark = pytest.mark.django_db

INDEX = "/admin/"


def is_in(client: Client) -> bool:
    return client.get(INDEX).status_code == 200


def addresses_of_the_admin() -> Iterator[str]:
    """Every address below /admin/, with something in each gap."""
    for pattern in get_resolver().url_patterns:
        route = str(pattern.pattern)
        if route.startswith("admin/"):
            yield from walk(pattern, "/")


def walk(pattern: URLPattern | URLResolver, prefix: str) -> Iterator[str]:
    route = prefix + fill(pattern)
    if isinstance(pattern, URLPattern):
        yield route
        return
    for each in pattern.url_patterns:
        yield from walk(each, route)


def fill(pattern: URLPattern | URLResolver) -> str:
    text = str(pattern.pattern)
    for name, converter in pattern.pattern.converters.items():
        kind = type(converter).__name__.removesuffix("Converter").lower()
        kinds = {f"<{kind}:{name}>", f"<{name}>"}
        value = "1" if kind in {"int", "string", "path"} else "a"
        for each in kinds:
            text = text.replace(each, value)
    if text.startswith("^"):
        return text.strip("^$").replace("(?P<app_label>", "").split("|")[0] + "/"
    return text.replace("(?P<url>.*)$", "nothing")


def addresses_of_the_product() -> Iterator[str]:
    for pattern in get_resolver().url_patterns:
        yield from walk(pattern, "/")


OPEN = {LOGIN, CODE, APP}


def doors() -> list[str]:
    return sorted({*addresses_of_the_admin()} - OPEN)


def test_the_default_site_is_ours() -> None:
    assert admin.site.__class__ is BackOffice


def test_nobody_gets_behind_any_address_without_signing_in(client: Client) -> None:
    """S14."""
    found = doors()
    assert len(found) > 150

    for each in found:
        for answer in (client.get(each), client.post(each)):
            assert answer.status_code == 302, each
            where = answer["Location"]
            assert where.startswith(LOGIN) or where == INDEX, (each, where)


def test_a_password_alone_opens_no_address(client: Client) -> None:
    """S15: also by the address that they wanted, and after an error."""
    user, _, _ = make_staff_with_phone("manager", is_superuser=True)
    answer = show_password(client, user, next="/admin/bookings/booking/")
    assert answer["Location"] == CODE

    for each in doors():
        answer = client.get(each)
        assert answer.status_code == 302, each
        assert answer["Location"].startswith(LOGIN) or answer["Location"] == INDEX
    assert "_auth_user_id" not in client.session


def test_a_login_without_a_second_factor_is_not_let_in(client: Client) -> None:
    """S15: whatever else signs somebody in; the control is the test below it."""
    from tests.conftest import _force_login

    _force_login(client, make_staff(is_superuser=True))

    refused = [client.get(each).status_code for each in doors()]
    assert set(refused) == {302}


def test_with_the_second_factor_the_same_login_is_let_in(client: Client) -> None:
    client.force_login(make_staff(is_superuser=True))

    assert is_in(client)


def test_no_address_but_the_two_steps_takes_credentials(client: Client) -> None:
    """S15: whatever is sent where, nobody is signed in."""
    user, _, codes = make_staff_with_phone("manager", is_superuser=True)
    typed = {"username": user.username, "password": "secret", "code": codes[0]}

    for each in sorted({*addresses_of_the_product()} - {LOGIN}):
        client.post(each, {**typed, "next": INDEX})
        assert "_auth_user_id" not in client.session, each

    show_password(client, user)
    client.post(CODE, {"code": codes[0]})
    assert "_auth_user_id" in client.session


def test_one_module_alone_can_sign_somebody_in() -> None:
    """S15: Django's `login` is called where both steps were taken, and nowhere else."""
    signs_in = re.compile(
        r"from django.contrib.auth import [^\n]*\blogin\b|auth\.login\(|force_login"
    )

    found = {
        source.path
        for source in read_sources(*PACKAGES)
        if signs_in.search(source.text)
    }

    assert found == {"slotbase/accounts/sign_in_pages.py"}


def test_password_and_code_let_in(client: Client) -> None:
    user, phone, _ = make_staff_with_phone("manager")
    show_password(client, user, next="/admin/bookings/booking/")

    answer = client.post(CODE, {"code": phone.code()})

    assert answer["Location"] == "/admin/bookings/booking/"
    assert is_in(client)
    assert AuditEntry.objects.filter(action="user.signed_in").count() == 1


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "/\\evil.example",
    ],
)
def test_nobody_is_led_to_another_site(client: Client, where: str) -> None:
    user, phone, _ = make_staff_with_phone("manager")
    show_password(client, user, next=where)

    assert client.post(CODE, {"code": phone.code()})["Location"] == INDEX


def test_the_key_of_the_session_changes_at_each_step(client: Client) -> None:
    """Session fixation: who knew the key before knows nothing."""
    user, phone, _ = make_staff_with_phone("manager")
    session = client.session
    session["x"] = "planted"
    session.save()
    client.cookies["sessionid"] = session.session_key
    keys = [session.session_key]
    show_password(client, user)
    keys.append(client.session.session_key)
    client.post(CODE, {"code": phone.code()})
    keys.append(client.session.session_key)

    assert len(set(keys)) == 3
    assert "x" not in client.session
    assert not Session.objects.filter(session_key__in=keys[:2]).exists()


def test_a_used_code_is_refused_again(client: Client) -> None:
    """S15: a code that was read over a shoulder."""
    user, phone, _ = make_staff_with_phone("manager")
    code = phone.code()
    show_password(client, user)
    client.post(CODE, {"code": code})
    assert is_in(client)

    thief = Client()
    show_password(thief, user)
    answer = thief.post(CODE, {"code": code})

    assert CODE_REFUSED in answer.content.decode()
    assert not is_in(thief)


def test_a_recovery_code_works_once_and_says_how_many_are_left(client: Client) -> None:
    user, _, codes = make_staff_with_phone("manager")
    show_password(client, user)

    page = client.post(CODE, {"code": f" {codes[0].upper()} "}, follow=True)

    assert "You used a recovery code: 9 are left" in page.content.decode()
    used = AuditEntry.objects.get(action="user.recovery_code_used")
    assert (used.subject_id, used.reason) == (str(user.pk), "9 left")
    again = Client()
    show_password(again, user)
    assert CODE_REFUSED in again.post(CODE, {"code": codes[0]}).content.decode()


def test_a_wrong_code_is_refused(client: Client) -> None:
    user, phone, _ = make_staff_with_phone("manager")
    show_password(client, user)

    for code in (phone.wrong_code(), "x", "000", "aaaaa-aaaaa", "١٢٣٤٥٦", "1" * 40):
        assert CODE_REFUSED in client.post(CODE, {"code": code}).content.decode()
        assert not is_in(client)


def test_a_code_of_nothing_is_asked_for_again(client: Client) -> None:
    user, _, _ = make_staff_with_phone("manager")
    show_password(client, user)

    for typed in ({}, {"code": ""}, {"code": "1" * 41}, {"code": "1\x00"}):
        page = client.post(CODE, typed)
        assert page.status_code == 200
        assert "errorlist" in page.content.decode()


def test_the_code_must_come_within_five_minutes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, phone, _ = make_staff_with_phone("manager")
    show_password(client, user)
    code = phone.code()
    later = time.time() + pending.SECONDS + 1
    monkeypatch.setattr(pending.time, "time", lambda: later)

    answer = client.post(CODE, {"code": code})

    assert answer["Location"] == LOGIN
    monkeypatch.undo()
    assert client.post(CODE, {"code": code})["Location"] == INDEX


@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"is_staff": False}, {"password": "!"}]
)
def test_who_lost_their_login_between_the_steps_is_not_let_in(
    client: Client, change: dict[str, Any]
) -> None:
    user, phone, _ = make_staff_with_phone("manager")
    show_password(client, user)
    User.objects.filter(pk=user.pk).update(**change)

    answer = client.post(CODE, {"code": phone.code()})

    assert answer["Location"] == LOGIN


def test_who_has_no_factor_must_make_one_first(client: Client) -> None:
    user = make_staff("manager")
    show_password(client, user, next="/admin/bookings/booking/")
    assert client.get(CODE)["Location"] == APP
    assert not is_in(client)
    page = client.get(APP)
    assert 'src="data:image/svg+xml' in page.content.decode()
    assert secret_on(page) == secret_on(client.get(APP))

    phone = Phone(secret_on(page))
    assert (
        "does not show"
        in client.post(APP, {"code": phone.wrong_code()}).content.decode()
    )
    assert not is_in(client)
    done = client.post(APP, {"code": phone.code()})

    codes = codes_on(done)
    assert len(set(codes)) == 10
    assert 'href="/admin/bookings/booking/"' in done.content.decode()
    assert (
        done["Cache-Control"]
        == "max-age=0, no-cache, no-store, must-revalidate, private"
    )
    assert is_in(client)
    assert AuditEntry.objects.filter(action="user.second_factor_enrolled").exists()
    assert SecondFactor.objects.get().sealed_secret.find(phone.secret) == -1


def test_whoever_has_an_app_is_shown_no_other(client: Client) -> None:
    """S15: with the password alone there is only the code to show."""
    user, _, codes = make_staff_with_phone("manager")
    show_password(client, user)

    for answer in (client.get(APP), client.post(APP, {"code": codes[0]})):
        assert answer["Location"] == CODE
    assert client.post(CODE, {"code": codes[0]})["Location"] == INDEX


def test_a_password_alone_replaces_no_factor(client: Client) -> None:
    """S15: two begin with the same password; who is second gets no further."""
    user, owner = make_staff("manager"), Client()
    show_password(client, user)
    show_password(owner, user)
    theirs, thiefs = secret_on(owner.get(APP)), secret_on(client.get(APP))
    assert theirs != thiefs
    owner.post(APP, {"code": Phone(theirs).code()})

    answer = client.post(APP, {"code": Phone(thiefs).code()})

    # Making the factor ended what was pending, or leads to the code of the owner.
    assert answer["Location"] in {LOGIN, CODE}
    assert not is_in(client)
    assert is_in(owner)


def test_codes_and_apps_ask_for_a_password_first(client: Client) -> None:
    for each in (CODE, APP):
        assert client.get(each)["Location"] == LOGIN
        assert client.post(each, {"code": "123456"})["Location"] == LOGIN


@pytest.mark.parametrize("kind", ["unknown", "wrong", "customer", "retired", "blocked"])
def test_whoever_is_not_let_in_is_told_the_same(client: Client, kind: str) -> None:
    """S16: nobody learns which logins there are, or that one is blocked."""
    user = make_staff("manager", is_active=kind != "retired")
    if kind == "customer":
        user = make_customer()
        user.username = ""
    if kind == "unknown":
        user.username = "nobody"
    if kind == "blocked":
        for _ in range(5):
            show_password(client, user, "wrong")
    password = "wrong" if kind == "wrong" else "secret"

    page = show_password(client, user, password or "x")

    if kind == "customer":  # without a username nothing is tried at all
        assert page.status_code == 200
    else:
        assert REFUSED in page.content.decode()
    assert not is_in(client)


def test_new_recovery_codes_need_a_code_and_end_the_old_ones(client: Client) -> None:
    user, phone, old = make_staff_with_phone("manager")
    client.force_login(user)
    mine = reverse("admin:my_sign_in")
    assert "that are left: 10" in client.get(mine).content.decode()

    refused = client.post(mine, {"do": "codes", "code": phone.wrong_code()})
    assert codes_on(refused) == []
    new = codes_on(client.post(mine, {"do": "codes", "code": phone.code()}))

    assert len(new) == 10
    assert not set(new) & set(old)
    assert is_in(client)
    other = Client()
    show_password(other, user)
    other.post(CODE, {"code": old[0]})
    assert not is_in(other)
    other.post(CODE, {"code": new[0]})
    assert is_in(other)


def test_the_app_is_replaced_after_a_code_of_the_old_one(client: Client) -> None:
    user, phone, _ = make_staff_with_phone("manager")
    client.force_login(user)
    mine, new_app = reverse("admin:my_sign_in"), reverse("admin:my_app")
    assert client.get(new_app)["Location"] == mine  # not without the code
    epoch = User.objects.get().session_epoch

    assert (
        client.post(mine, {"do": "replace", "code": phone.code()})["Location"]
        == new_app
    )
    new = Phone(secret_on(client.get(new_app)))
    assert codes_on(client.post(new_app, {"code": new.wrong_code()})) == []
    assert len(codes_on(client.post(new_app, {"code": new.code()}))) == 10

    assert is_in(client)
    assert client.get(new_app)["Location"] == mine
    assert User.objects.get().session_epoch == epoch + 1
    assert AuditEntry.objects.filter(action="user.second_factor_replaced").exists()
    other = Client()
    show_password(other, user)
    new.user = user
    other.post(CODE, {"code": phone.code()})
    assert not is_in(other)
    other.post(CODE, {"code": new.code()})
    assert is_in(other)


def test_the_first_account_comes_from_the_shell_and_makes_a_factor(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "secret")
    call_command("createsuperuser", username="root", interactive=False)

    show_password(client, User.objects.get(username="root"))
    page = client.get(CODE, follow=True)
    client.post(APP, {"code": Phone(secret_on(page)).code()})

    assert is_in(client)


def test_staff_without_a_group_see_an_empty_start_page(client: Client) -> None:
    """S14."""
    client.force_login(make_staff())

    page = client.get(INDEX)

    assert "You have no rights yet" in page.content.decode()
    assert page.context["available_apps"] == []
