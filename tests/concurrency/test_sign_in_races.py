"""Many who sign in at once: guesses are counted, codes work once (S15, S16)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from slotbase.accounts.models import SecondFactor, SignInGuard
from slotbase.accounts.services import guesses, second_factors
from tests.accounts.phones import make_staff_with_phone
from tests.concurrency.race import at_once, errors_in
from tests.factories import make_staff

pytestmark = pytest.mark.django_db(transaction=True)

HOME, OFFICE = "192.0.2.1", "192.0.2.2"
GUESSES, THREADS = 1000, 20


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords that were evaluated; none takes the time of a hash."""
    looked: list[str] = []

    def authenticate(*, username: str, password: str) -> Any:
        looked.append(password)
        staff = guesses.User.objects.filter(username=username)
        return staff.first() if password == "secret" else None

    monkeypatch.setattr(guesses, "authenticate", authenticate)
    monkeypatch.setattr(guesses, "make_password", lambda _: "")
    return looked


def guess_a_thousand_times(login: str) -> None:
    """By twenty threads that begin together."""
    barrier = threading.Barrier(THREADS)

    def guess() -> None:
        try:
            connection.ensure_connection()
            barrier.wait()
            for _ in range(GUESSES // THREADS):
                guesses.try_password(login=login, password="wrong", address=HOME)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        for each in [pool.submit(guess) for _ in range(THREADS)]:
            each.result()


def test_of_a_thousand_guesses_at_once_five_are_evaluated(looked: list[str]) -> None:
    """S16; and the right password from another address works."""
    make_staff(username="olga")

    guess_a_thousand_times("olga")

    assert len(looked) == 5
    assert guesses.try_password(login="olga", password="secret", address=OFFICE)


def test_counted_after_they_were_evaluated_many_more_would_be(
    looked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: look first, and count what was wrong."""
    make_staff(username="olga")
    barrier = threading.Barrier(THREADS)

    def read_only(name: str, limit: int) -> int | None:
        row = SignInGuard.objects.filter(name=name).first()
        barrier.wait()
        return None if row and row.failures >= limit else 1

    monkeypatch.setattr(guesses, "_count", read_only)

    def guess() -> None:
        guesses.try_password(login="olga", password="wrong", address=HOME)

    assert errors_in(at_once([guess] * THREADS)) == []
    assert len(looked) == THREADS


def test_of_many_who_show_one_code_one_is_let_in() -> None:
    """S15."""
    user, phone, _ = make_staff_with_phone()
    code = phone.code()

    outcomes = at_once([shows(user, code, f"192.0.2.{n}") for n in range(8)])

    assert errors_in(outcomes) == []
    assert sum(outcome is not None for outcome in outcomes) == 1


def test_without_the_condition_all_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the step is read and then written."""
    user, phone, _ = make_staff_with_phone()
    code, barrier = phone.code(), threading.Barrier(8)

    def verify(*, user_id: Any, code: str) -> bool:
        factor = SecondFactor.objects.get(user_id=user_id)
        step = second_factors.find_step(factor.sealed_secret, code)
        barrier.wait()
        SecondFactor.objects.filter(user_id=user_id).update(last_step=step)
        return step is not None and step > factor.last_step

    monkeypatch.setattr(second_factors, "verify", verify)

    outcomes = at_once([shows(user, code, f"192.0.2.{n}") for n in range(8)])

    assert sum(outcome is not None for outcome in outcomes) == 8


def test_of_many_who_show_one_recovery_code_one_is_let_in() -> None:
    """S15."""
    user, _, codes = make_staff_with_phone()

    outcomes = at_once([shows(user, codes[0], f"192.0.2.{n}") for n in range(8)])

    assert errors_in(outcomes) == []
    assert [outcome for outcome in outcomes if outcome] == [second_factors.Shown(9)]


def test_of_two_first_apps_one_counts() -> None:
    """S15: two know the password; neither learns the secret of the other."""
    user = make_staff()
    sealed = [second_factors.begin_enrolment() for _ in range(4)]

    def enrol(secret: str) -> Callable[[], list[str]]:
        import pyotp

        code = pyotp.TOTP(second_factors.reveal(secret)).now()
        return lambda: second_factors.enrol(
            user_id=user.pk, sealed_secret=secret, code=code
        )

    outcomes = at_once([enrol(secret) for secret in sealed])

    names = {type(each).__name__ for each in errors_in(outcomes)}
    assert (len(errors_in(outcomes)), names) == (3, {"FactorExists"})


def shows(user: Any, code: str, address: str) -> Callable[[], Any]:
    return lambda: second_factors.show_code(user=user, code=code, address=address)
