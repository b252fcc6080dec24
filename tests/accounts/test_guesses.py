"""Guesses of passwords and codes are limited, and nobody is locked out (S16)."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import get_hasher
from django.core.cache import cache
from django.test import Client
from django_redis import get_redis_connection

from recovery import conditions
from recovery.models import Alert
from slotbase.accounts.models import SignInGuard
from slotbase.accounts.services import guesses, second_factors
from slotbase.accounts.services.guesses import try_password
from slotbase.accounts.sign_in_pages import REFUSED
from tests.accounts.phones import make_staff_with_phone, show_password
from tests.factories import make_staff

pytestmark = pytest.mark.django_db

HOME, OFFICE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords that were evaluated; `secret` is the right one of everybody."""
    looked: list[str] = []

    def authenticate(*, username: str, password: str) -> Any:
        looked.append(password)
        staff = guesses.User.objects.filter(username=username, is_active=True)
        return staff.first() if password == "secret" else None

    monkeypatch.setattr(guesses, "authenticate", authenticate)
    monkeypatch.setattr(guesses, "make_password", lambda _: "")
    return looked


def guess(login: str, password: str = "wrong", address: str = HOME) -> bool:
    user = try_password(login=login, password=password, address=address)
    return user is not None


def pass_time(**time: float) -> None:
    """As if all that is counted was counted so long ago."""
    for row in SignInGuard.objects.all():
        row.since -= timedelta(**time)
        if row.blocked_until:
            row.blocked_until -= timedelta(**time)
        row.save()


def test_after_five_wrong_guesses_the_right_password_is_not_even_looked_at(
    looked: list[str],
) -> None:
    make_staff(username="olga")
    for _ in range(5):
        guess("olga")

    assert not guess("olga", "secret")
    assert looked == ["wrong"] * 5


def test_the_fifth_guess_may_be_the_right_one(looked: list[str]) -> None:
    make_staff(username="olga")
    for _ in range(4):
        guess("olga")

    assert guess("olga", "secret")
    assert guess("olga", "secret")
    assert not guess("olga")
    assert not guess("olga", "secret")


def test_the_right_password_from_another_address_works(looked: list[str]) -> None:
    make_staff(username="olga")
    for _ in range(30):
        guess("olga")

    assert guess("olga", "secret", OFFICE)


def test_after_fifteen_minutes_it_begins_anew(looked: list[str]) -> None:
    make_staff(username="olga")
    for _ in range(8):
        guess("olga")

    pass_time(minutes=14)
    assert not guess("olga", "secret")
    pass_time(minutes=2)
    assert guess("olga", "secret")


def test_guesses_of_different_quarters_of_an_hour_do_not_add_up(
    looked: list[str],
) -> None:
    make_staff(username="olga")
    for _ in range(10):
        guess("olga")
        guess("olga")
        pass_time(minutes=16)

    assert guess("olga", "secret")


def test_fifty_wrong_guesses_block_an_address_for_every_login(
    looked: list[str],
) -> None:
    for number in range(50):
        guess(f"somebody{number}")
    make_staff(username="olga")

    assert not guess("olga", "secret")
    assert len(looked) == 50
    assert guess("olga", "secret", OFFICE)


def test_right_passwords_block_nobody(looked: list[str]) -> None:
    """A venue's morning: everybody from one address."""
    make_staff(username="olga")

    assert all(guess("olga", "secret") for _ in range(120))
    assert not SignInGuard.objects.filter(failures__gt=0).exists()


def test_a_login_that_is_guessed_from_everywhere_is_not_locked(
    looked: list[str],
) -> None:
    make_staff(username="olga")
    for number in range(60):
        for _ in range(2):
            guess("olga", address=f"198.51.100.{number}")
    before = len(looked)

    assert guess("olga", "secret", OFFICE)
    for _ in range(3):
        guess("olga", address=HOME)
    assert len(looked) == before + 2  # of three from a new address, one


def test_all_addresses_of_an_ipv6_network_are_one(looked: list[str]) -> None:
    make_staff(username="olga")
    for number in range(9):
        guess("olga", address=f"2001:db8:1:1::{number}")

    assert len(looked) == 5
    assert guess("olga", "secret", "2001:db8:1:2::1")


def test_codes_are_guesses_too() -> None:
    user, phone, codes = make_staff_with_phone()
    for _ in range(5):
        wrong = second_factors.show_code(
            user=user, code=phone.wrong_code(), address=HOME
        )
        assert wrong is None

    assert not second_factors.show_code(user=user, code=phone.code(), address=HOME)
    assert not second_factors.show_code(user=user, code=codes[0], address=HOME)
    assert second_factors.show_code(user=user, code=phone.code(), address=OFFICE)


def test_codes_cannot_be_guessed_from_everywhere_and_recovery_codes_work() -> None:
    user, phone, codes = make_staff_with_phone()
    for number in range(25):
        address = f"198.51.100.{number}"
        second_factors.show_code(user=user, code=phone.wrong_code(), address=address)

    assert not second_factors.show_code(user=user, code=phone.code(), address=HOME)
    assert second_factors.show_code(user=user, code=codes[0], address=HOME)
    assert set(guesses.find_blocks()) == {"codes"}


def test_the_right_password_in_between_gives_no_more_guesses_of_codes() -> None:
    user, phone, _ = make_staff_with_phone(username="olga")
    for _ in range(5):
        assert guess("olga", "secret")
        second_factors.show_code(user=user, code=phone.wrong_code(), address=HOME)

    assert not second_factors.show_code(user=user, code=phone.code(), address=HOME)


def test_counters_survive_an_empty_redis(looked: list[str]) -> None:
    make_staff(username="olga")
    for _ in range(5):
        guess("olga")
    get_redis_connection("default").flushall()
    cache.clear()

    assert not guess("olga", "secret")


def test_neither_logins_nor_addresses_are_kept() -> None:
    guess("olga@example.com")

    names = " ".join(SignInGuard.objects.values_list("name", flat=True))
    assert "olga" not in names
    assert HOME not in names
    assert all(len(each.name) <= 80 for each in SignInGuard.objects.all())


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords that were hashed, for whatever reason: that is what takes the time."""
    hashed: list[str] = []
    hasher = type(get_hasher())
    monkeypatch.setattr(hasher, "iterations", 1)
    encode = hasher.encode

    def count(self: Any, password: str, *args: Any, **kwargs: Any) -> str:
        hashed.append(password)
        return encode(self, password, *args, **kwargs)

    monkeypatch.setattr(hasher, "encode", count)
    return hashed


def test_a_blocked_login_costs_as_much_as_one_that_is_evaluated(
    hashed: list[str],
) -> None:
    """S16: by its time it is not told; counted is what takes the time."""
    make_staff(username="olga")
    hashed.clear()
    for login in ("olga", "nobody"):
        for number in range(1, 7):
            guess(login)
            assert hashed == ["wrong"] * number
        hashed.clear()


def test_a_blocked_address_costs_no_hash_and_its_login_elsewhere_still_does(
    hashed: list[str], client: Client, settings: Any
) -> None:
    """S16: one client alone does not take what answers everybody.

    The quick answer says only that this address guessed fifty times: its counter is
    about no login, so it is as quick for one that there is as for one that is not. A
    login that is blocked elsewhere would say that it exists: there the hash stays.
    """
    settings.SIGN_IN_GUESSES_PER_LOGIN = 4
    olga = make_staff(username="olga")
    for number in range(5):
        guess("olga", address=f"198.51.100.{number}")
    for number in range(50):
        guess(f"somebody{number}", address="127.0.0.1")
    hashed.clear()

    for login in ("olga", "nobody"):
        assert not guess(login, "secret", "127.0.0.1")
    assert REFUSED in show_password(client, olga).content.decode()
    assert hashed == []

    for login in ("olga", "nobody"):
        for number in range(1, 7):
            guess(login, address=OFFICE)
            assert hashed == ["wrong"] * number
        hashed.clear()


def test_the_address_is_that_which_the_proxies_tell(
    client: Client, looked: list[str], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who adds addresses of their own does not get more guesses."""
    monkeypatch.setattr("rest_framework.settings.api_settings.NUM_PROXIES", 1)
    user = make_staff()
    for number in range(9):
        sent = {"X-Forwarded-For": f"10.0.0.{number}, {HOME}"}
        page = show_password(client, user, "wrong", headers=sent)
        assert REFUSED in page.content.decode()

    assert len(looked) == 5


def test_an_alert_tells_of_an_address_that_guesses(looked: list[str]) -> None:
    for number in range(49):
        guess(f"somebody{number}")
    assert guesses.find_blocks() == {}
    guess("one more")

    conditions.check()

    alert = Alert.objects.get(category="sign_in_guessing")
    assert alert.title == "Somebody guesses passwords of staff"
    assert alert.fingerprint == "sign_in_guessing:passwords"


def test_counters_of_yesterday_are_forgotten(looked: list[str]) -> None:
    guess("olga")
    pass_time(hours=25)
    guess("olga", address=OFFICE)

    assert guesses.forget_old_guesses(limit=2) == 2
    assert guesses.forget_old_guesses(limit=2) == 0
    # The counters of the other address are new; that of the login began anew.
    assert SignInGuard.objects.count() == 3
