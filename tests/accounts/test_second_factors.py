"""Second factors: what is kept, what is right, and what is told (S15)."""

import time

import pyotp
import pytest
from django.core.management import CommandError, call_command

from recovery.models import Alert, AuditEntry
from slotbase.accounts.errors import CodeRefused, FactorExists
from slotbase.accounts.models import RecoveryCode, SecondFactor, User
from slotbase.accounts.services import second_factors
from tests.accounts.phones import enrol, make_staff_with_phone
from tests.factories import make_staff

pytestmark = pytest.mark.django_db

HOME = "192.0.2.1"


@pytest.mark.parametrize(
    ("steps", "is_right"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_a_phone_may_be_half_a_minute_off(
    monkeypatch: pytest.MonkeyPatch, steps: int, is_right: bool
) -> None:
    user, phone, _ = make_staff_with_phone()
    now = 1_800_000_000
    monkeypatch.setattr(second_factors.time, "time", lambda: float(now))
    SecondFactor.objects.update(last_step=0)

    code = pyotp.TOTP(phone.secret).at(now + 30 * steps)

    assert second_factors.verify(user_id=user.pk, code=code) is is_right


def test_no_code_works_after_a_later_one() -> None:
    user, phone, _ = make_staff_with_phone()
    SecondFactor.objects.update(last_step=0)
    totp, now = pyotp.TOTP(phone.secret), int(time.time())

    assert second_factors.verify(user_id=user.pk, code=totp.at(now))
    assert not second_factors.verify(user_id=user.pk, code=totp.at(now - 30))


def test_a_code_that_confirmed_an_app_does_not_sign_in_as_well() -> None:
    user = make_staff()
    sealed = second_factors.begin_enrolment()
    code = pyotp.TOTP(second_factors.reveal(sealed)).now()
    second_factors.enrol(user_id=user.pk, sealed_secret=sealed, code=code)

    assert not second_factors.verify(user_id=user.pk, code=code)


def test_nothing_that_signs_in_can_be_read_in_a_backup() -> None:
    _, phone, codes = make_staff_with_phone()

    kept = SecondFactor.objects.get().sealed_secret
    hashes = set(RecoveryCode.objects.values_list("code_hash", flat=True))

    assert phone.secret not in kept
    assert len(hashes) == 10
    assert all(len(each) == 64 for each in hashes)
    assert not {code.replace("-", "") for code in codes} & hashes


def test_codes_go_on_working_when_the_key_is_changed(settings) -> None:
    user, phone, codes = make_staff_with_phone()
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "x" * 60

    assert second_factors.show_code(user=user, code=phone.code(), address=HOME)
    assert second_factors.show_code(user=user, code=codes[0], address=HOME)


def test_without_the_former_key_codes_are_wrong_and_nothing_breaks(settings) -> None:
    user, phone, codes = make_staff_with_phone()
    settings.SECRET_KEY = "x" * 60

    assert not second_factors.show_code(user=user, code=phone.code(), address=HOME)
    assert not second_factors.show_code(user=user, code=codes[0], address=HOME)


def test_recovery_codes_of_one_person_are_not_those_of_another() -> None:
    _, _, codes = make_staff_with_phone()
    other, _, _ = make_staff_with_phone()

    assert not second_factors.show_code(user=other, code=codes[0], address=HOME)


def test_a_second_enrolment_is_refused() -> None:
    user, _, _ = make_staff_with_phone()

    with pytest.raises(FactorExists):
        enrol(user)


def test_an_app_that_shows_another_code_is_refused() -> None:
    user = make_staff()
    sealed = second_factors.begin_enrolment()

    with pytest.raises(CodeRefused):
        second_factors.enrol(user_id=user.pk, sealed_secret=sealed, code="12345")

    assert not SecondFactor.objects.exists()


def test_each_change_is_told_and_ends_sessions() -> None:
    user, _, _ = make_staff_with_phone()
    epochs = [User.objects.get().session_epoch]
    second_factors.renew_recovery_codes(user_id=user.pk)
    epochs.append(User.objects.get().session_epoch)
    second_factors.reset(user_id=user.pk)
    epochs.append(User.objects.get().session_epoch)

    assert epochs == [1, 2, 3]
    entries = AuditEntry.objects.filter(subject_id=str(user.pk)).order_by("id")
    assert list(entries.values_list("action", "actor_kind")) == [
        ("user.second_factor_enrolled", "staff"),
        ("user.recovery_codes_renewed", "staff"),
        ("user.second_factor_reset", "system"),
    ]


def test_the_shell_takes_a_factor_away_and_an_alert_tells() -> None:
    user, _, codes = make_staff_with_phone(username="olga", name="Olga")

    call_command("reset_second_factor", "olga")

    assert not second_factors.has_factor(user_id=user.pk)
    assert not second_factors.show_code(user=user, code=codes[0], address=HOME)
    alert = Alert.objects.get(category="second_factor_reset")
    assert (alert.status, alert.severity) == ("OPEN", "high")
    assert "olga" not in alert.title.lower()


def test_the_shell_says_that_there_is_nobody() -> None:
    with pytest.raises(CommandError):
        call_command("reset_second_factor", "nobody")
