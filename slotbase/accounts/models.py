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
        permissions = (("see_contact_data", "Can see contact data of customers"),)

    def __str__(self) -> str:
        return self.name or self.username or f"Customer {str(self.pk)[-6:]}"


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


class Venue(models.Model):
    """A place with its own time zone, currency and staff."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    time_zone = models.CharField(max_length=64, validators=[validate_time_zone])
    currency = models.CharField(max_length=3, validators=[validate_currency])
    address = models.TextField(blank=True)
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
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
