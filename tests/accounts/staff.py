"""What tests about staff have in common: their history, and their second factor."""

from recovery.models import AuditEntry
from slotbase.accounts.models import SecondFactor, User
from slotbase.lib.clock import Now
from tests.accounts.phones import enrol


def entries(user: User) -> list[tuple[str, str, str]]:
    """Action, actor and reason of each entry about somebody, the oldest first."""
    found = AuditEntry.objects.filter(subject_type="user", subject_id=str(user.pk))
    return [(each.action, each.actor_id, each.reason) for each in found.order_by("id")]


def give_factor(user: User) -> User:
    """They have signed in before; nothing of it is in their history."""
    SecondFactor.objects.create(user=user, sealed_secret="x", confirmed_at=Now())
    return user


def secret_of(user: User) -> str:
    """Give them an app that shows their codes, none of which was used yet."""
    phone, _ = enrol(user)
    SecondFactor.objects.filter(user=user).update(last_step=0)
    return phone.secret
