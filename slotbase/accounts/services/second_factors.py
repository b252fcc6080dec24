"""Second factors of staff: an app that shows codes, and recovery codes for its loss.

Secrets are sealed, recovery codes kept as keyed hashes. A code works once, also if two
show it at the same time. Every change is audited and ends all sessions of its owner.
"""

import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pyotp
from django.conf import settings
from django.db.models import F
from django.utils.crypto import salted_hmac

from recovery import alerts, audit, conditions
from slotbase.accounts.errors import CodeRefused, FactorExists
from slotbase.accounts.locks import lock_user
from slotbase.accounts.models import RecoveryCode, SecondFactor, User
from slotbase.accounts.services import break_glass, guesses, passwords
from slotbase.lib import sealing
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required

ISSUER = "SlotBase"
STEP_SECONDS = 30
DRIFT = (-1, 0, 1)  # in steps: phones are a little early or late
CODES = 10
# Without letters and digits that look alike; 49 bits, which nobody guesses.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
HALF = 5
RESET = "second_factor_reset"
GIVEN = "user.enrolled_with_given_password"


@dataclass(frozen=True)
class Shown:
    """A code that was right; `left`: it was a recovery code, and so many are left."""

    left: int | None = None


def has_factor(*, user_id: UUID) -> bool:
    """Whether somebody has an app that shows them codes."""
    return SecondFactor.objects.filter(
        user_id=user_id, confirmed_at__isnull=False
    ).exists()


def count_recovery_codes(*, user_id: UUID) -> int:
    """How many are left."""
    return RecoveryCode.objects.filter(user_id=user_id, used_at=None).count()


def begin_enrolment() -> str:
    """A new secret, sealed. The session keeps it until it is confirmed by a code.

    So nobody learns it who begins before, or beside, whoever ends.
    """
    return sealing.seal(pyotp.random_base32())


def reveal(sealed_secret: str) -> str:
    """The secret, to be typed into an app once."""
    return sealing.unseal(sealed_secret)


def address_of(*, login: str, sealed_secret: str) -> str:
    """The secret as apps read it from a QR code."""
    totp = pyotp.TOTP(sealing.unseal(sealed_secret))
    return totp.provisioning_uri(name=login, issuer_name=ISSUER)


@retry_on_conflict
def enrol(*, user_id: UUID, sealed_secret: str, code: str) -> list[str]:
    """The first factor, confirmed by its code; returns the recovery codes, once.

    An alert tells of it if somebody else has set the password, and may be who asks.

    Raises:
        CodeRefused: the app does not show this code.
        FactorExists: somebody was faster; a password is not enough to replace theirs.
    """
    lock_user(user_id)
    if has_factor(user_id=user_id):
        raise FactorExists
    codes = _set_factor(user_id, sealed_secret, code, "enrolled")
    if passwords.was_given(user_id=user_id):
        title = "A second factor was made with a password that somebody else had set"
        break_glass.tell(user_id=user_id, action=GIVEN, title=title)
    return codes


@retry_on_conflict
def replace(*, user_id: UUID, sealed_secret: str, code: str) -> list[str]:
    """Another app instead of the one that is; who asks has just shown a code of that.

    Raises:
        CodeRefused: the new app does not show this code.
    """
    lock_user(user_id)
    return _set_factor(user_id, sealed_secret, code, "replaced")


@retry_on_conflict
def renew_recovery_codes(*, user_id: UUID) -> list[str]:
    """Ten new ones, told once; those before do not work any more."""
    lock_user(user_id)
    codes = _write_codes(user_id)
    _tell(user_id, "recovery_codes_renewed")
    return codes


@retry_on_conflict
def reset(*, user_id: UUID) -> None:
    """Take the factor away, for whoever has a shell: the next sign-in makes another.

    An alert tells of it, as it would if somebody else had done it.
    """
    take_away(user_id=user_id, actor=audit.Actor.system("reset_second_factor"))
    title = "A second factor of staff was reset from a shell"
    alerts.raise_these([alerts.Report(RESET, f"{RESET}:{user_id}", title)])


@transaction_required
def take_away(*, user_id: UUID, actor: audit.Actor) -> None:
    """The factor and all recovery codes; who agreed to it is not for this to ask."""
    lock_user(user_id)
    SecondFactor.objects.filter(user_id=user_id).delete()
    RecoveryCode.objects.filter(user_id=user_id).delete()
    _tell(user_id, "second_factor_reset", actor)


# What is raised where it happens is looked for by nobody; it is over when it is quiet.
conditions.register(RESET, dict)


def show_code(*, user: User, code: str, address: str) -> Shown | None:
    """Use up what somebody shows: a code of their app, or a recovery code.

    None: it is wrong, was used already, or too many were guessed. Not inside a
    transaction: it counts as a guess whatever happens.
    """
    typed = "".join(code.split()).replace("-", "").lower()
    guess = guesses.count_guess(login=user.get_username(), address=address)
    if guess is None:
        return None
    is_of_app = len(typed) == 6 and typed.isascii() and typed.isdecimal()
    shown = _show_totp(user, typed) if is_of_app else _use_recovery_code(user.pk, typed)
    if shown:
        guesses.give_back(guess)
    return shown


def _show_totp(user: User, code: str) -> Shown | None:
    guess = guesses.count_code(login=user.get_username())
    if guess is None or not verify(user_id=user.pk, code=code):
        return None
    guesses.give_back(guess)
    return Shown()


def verify(*, user_id: UUID, code: str) -> bool:
    """Whether their app shows this code now, and nobody has used it before."""
    factors = SecondFactor.objects.filter(user_id=user_id, confirmed_at__isnull=False)
    factor = factors.first()
    step = find_step(factor.sealed_secret, code) if factor else None
    # Of two at once one raises it; also in a code of an earlier step.
    return step is not None and (
        factors.filter(last_step__lt=step).update(last_step=step) == 1
    )


def find_step(sealed_secret: str, code: str) -> int | None:
    """The half minute whose code this is, of those that count now."""
    try:
        totp = pyotp.TOTP(sealing.unseal(sealed_secret))
    except sealing.Unreadable:
        return None
    now = int(time.time()) // STEP_SECONDS
    # All are compared, so that the time tells nothing.
    found = [
        now + drift
        for drift in DRIFT
        if hmac.compare_digest(
            totp.at((now + drift) * STEP_SECONDS).encode(), code.encode()
        )
    ]
    return found[-1] if found else None


@retry_on_conflict
def record_sign_in(*, user_id: UUID) -> None:
    """Somebody was let into the back office."""
    _record(user_id, "signed_in", "")


@retry_on_conflict
def _use_recovery_code(user_id: UUID, code: str) -> Shown | None:
    codes = RecoveryCode.objects.filter(user_id=user_id, used_at=None)
    used = codes.filter(code_hash__in=_hashes(user_id, code)).update(used_at=Now())
    if not used:
        return None
    left = codes.count()
    _record(user_id, "recovery_code_used", f"{left} left")
    return Shown(left)


@transaction_required
def _set_factor(user_id: UUID, sealed_secret: str, code: str, verb: str) -> list[str]:
    step = find_step(sealed_secret, "".join(code.split()))
    if step is None:
        raise CodeRefused
    values: dict[str, Any] = {"sealed_secret": sealed_secret, "last_step": step}
    SecondFactor.objects.update_or_create(
        user_id=user_id, defaults={**values, "confirmed_at": Now()}
    )
    codes = _write_codes(user_id)
    _tell(user_id, f"second_factor_{verb}")
    return codes


@transaction_required
def _write_codes(user_id: UUID) -> list[str]:
    RecoveryCode.objects.filter(user_id=user_id).delete()
    codes = [_new_code() for _ in range(CODES)]
    RecoveryCode.objects.bulk_create(
        RecoveryCode(user_id=user_id, code_hash=_hashes(user_id, code)[0])
        for code in codes
    )
    return [f"{code[:HALF]}-{code[HALF:]}" for code in codes]


def _new_code() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(2 * HALF))


def _hashes(user_id: UUID, code: str) -> list[str]:
    """As it is kept, under each key that may have been SECRET_KEY then."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    salt, text = "slotbase.recovery_code", f"{user_id} {code}"
    return [
        salted_hmac(salt, text, secret=key, algorithm="sha256").hexdigest()
        for key in keys
    ]


@transaction_required
def _tell(user_id: UUID, what: str, actor: audit.Actor | None = None) -> None:
    """Its history, and the end of all sessions that began before."""
    _record(user_id, what, "", actor)
    User.objects.filter(pk=user_id).update(session_epoch=F("session_epoch") + 1)


@transaction_required
def _record(
    user_id: UUID, what: str, reason: str, actor: audit.Actor | None = None
) -> None:
    audit.record(
        actor=actor or audit.Actor.staff(user_id),
        action=f"user.{what}",
        subject="user",
        ids=[user_id],
        reason=reason,
    )
