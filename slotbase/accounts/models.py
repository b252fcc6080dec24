"""People and venues."""

from typing import Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    PermissionsMixin,
)
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.crypto import salted_hmac

from recovery.models import DueRow
from slotbase.lib.clock import DatabaseNow
from slotbase.lib.ids import uuid7


def validate_time_zone(name: str) -> None:
    """Refuse what is not an IANA time zone."""
    if name not in available_timezones():
        raise ValidationError("Not an IANA time zone, such as Europe/Berlin.")


validate_currency = RegexValidator(r"^[A-Z]{3}\Z", "An ISO 4217 code, such as EUR.")


class UserManager(BaseUserManager["User"]):
    """Makes users for Django's own commands; services make all others."""

    def create_superuser(
        self, username: str, password: str | None = None, **fields: Any
    ) -> "User":
        """A break-glass account (`manage.py createsuperuser`)."""
        user = self.model(username=username, is_staff=True, is_superuser=True, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        """Staff sign in by username."""
        return self.get(username=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person: a customer (Clerk id), staff (login), or a walk-in (neither)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    clerk_id = models.CharField(max_length=64, unique=True, null=True, blank=True)
    username = models.CharField(max_length=64, unique=True, null=True, blank=True)
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=40, blank=True)
    locale = models.CharField(max_length=10, default="en")
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    # Raised to end every session of a member of staff at once.
    session_epoch = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(is_staff=False)
                | Q(clerk_id__isnull=True, username__isnull=False),
                name="accounts_user_staff_use_a_login",
            ),
        )
        permissions = (
            ("see_contact_data", "Can see contact data of customers"),
            ("export_person", "Can export all that is known of a person"),
            ("erase_person", "Can erase a person"),
            ("approve_rights", "Can approve what others get or lose"),
        )

    def __str__(self) -> str:
        if self.erased_at:
            return "Erased person"
        return self.name or self.username or f"Customer {str(self.pk)[-6:]}"

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a session must know to go on: the password, and the epoch."""
        known = f"{self.password}:{self.session_epoch}"
        salt = "accounts.User.session_auth_hash"
        return salted_hmac(salt, known, secret=secret, algorithm="sha256").hexdigest()


class ProfileFetch(DueRow):
    """What is owed to a customer who is not known yet: to ask Clerk who they are.

    The row stays; `ended_at` is when Clerk was last asked for good, with whatever
    result.
    """

    user = models.OneToOneField(User, models.CASCADE, related_name="profile_fetch")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta(DueRow.Meta):
        verbose_name_plural = "profile fetches"
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="accounts_profile_due",
            ),
        )
        constraints = (
            *DueRow.due_constraints("accounts_profile"),
            models.CheckConstraint(
                condition=Q(next_run_at__isnull=False) | Q(ended_at__isnull=False),
                name="accounts_profile_due_until_ended",
            ),
        )

    def __str__(self) -> str:
        return f"Profile of {self.user_id}"


class Erasure(DueRow):
    """What is owed to somebody who wants to be forgotten; the row stays.

    `requested_by` is the member of staff who asked for it, empty: they did themselves.
    """

    user = models.OneToOneField(User, models.PROTECT, related_name="erasure")
    requested_by = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+"
    )
    requested_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(DueRow.Meta):
        indexes = (
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="accounts_erasure_due",
            ),
        )
        constraints = (
            *DueRow.due_constraints("accounts_erasure"),
            models.CheckConstraint(
                condition=Q(next_run_at__isnull=False) | Q(ended_at__isnull=False),
                name="accounts_erasure_due_until_ended",
            ),
        )

    def __str__(self) -> str:
        return f"Erasure of {self.user_id}"


class SecondFactor(models.Model):
    """The app that shows a member of staff their codes (TOTP, RFC 6238).

    It counts once it is confirmed by a code. `last_step` is the half minute of the last
    code that was taken: no code is taken twice.
    """

    user = models.OneToOneField(
        User, models.PROTECT, primary_key=True, related_name="second_factor"
    )
    sealed_secret = models.TextField()
    last_step = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=DatabaseNow(), editable=False)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"Second factor of {self.user_id}"


class RecoveryCode(models.Model):
    """A code for whoever lost their app, good for one sign-in; kept as a hash."""

    user = models.ForeignKey(User, models.PROTECT, related_name="recovery_codes")
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["user", "code_hash"], name="accounts_recovery_code_once"
            ),
        )

    def __str__(self) -> str:
        return f"Recovery code of {self.user_id}"


class SignInGuard(models.Model):
    """How often somebody guessed wrong lately: from one address, or for one login.

    `name` is a keyed hash of what is counted, so that no address or login is kept.
    """

    name = models.CharField(primary_key=True, max_length=80)
    failures = models.PositiveIntegerField(default=0, db_default=0)
    since = models.DateTimeField(db_default=DatabaseNow())
    blocked_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = (models.Index(fields=["since"], name="accounts_guard_since"),)

    def __str__(self) -> str:
        return self.name


class Venue(models.Model):
    """A place with its own time zone, currency and staff."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, validators=[validate_time_zone])
    currency = models.CharField(max_length=3, validators=[validate_currency])
    address = models.TextField(blank=True)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    enhances_notes = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Coaches' notes may go to OpenAI, without names in them.",
    )
    staff = models.ManyToManyField(
        User, through="VenueStaff", related_name="venues", blank=True
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    @property
    def zone(self) -> ZoneInfo:
        """The venue's time zone."""
        return ZoneInfo(self.time_zone)


class VenueStaff(models.Model):
    """Who may work where."""

    user = models.ForeignKey(User, models.PROTECT)
    venue = models.ForeignKey(Venue, models.PROTECT)

    class Meta:
        verbose_name_plural = "venue staff"
        constraints = (
            models.UniqueConstraint(
                fields=["user", "venue"], name="accounts_venuestaff_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user} at {self.venue}"


class RevokedSession(models.Model):
    """A Clerk session that must not be let in, whatever its token says."""

    session_id = models.CharField(primary_key=True, max_length=64)
    revoked_at = models.DateTimeField(db_default=DatabaseNow())

    class Meta:
        indexes = (models.Index(fields=["revoked_at"], name="accounts_revoked_at"),)

    def __str__(self) -> str:
        return self.session_id


class SigningKeySet(models.Model):
    """Clerk's public keys (one JSON Web Key Set), kept so that no request needs Clerk.

    One row (pk 1). `attempted_at` limits how often anybody asks; all stamps are wall
    clock, like the tokens which the keys sign.
    """

    jwks = models.JSONField()
    fetched_at = models.DateTimeField(null=True)
    attempted_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"Keys of {self.fetched_at}"
