"""Addresses that take no mail: how one comes onto the list, and off it again."""

from uuid import UUID

from django.conf import settings
from django.utils.crypto import salted_hmac

from notifications.locks import lock_suppression
from notifications.models import Suppression
from notifications.states import SuppressionReason
from recovery import audit
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict, transaction_required
from slotbase.lib.errors import InvalidState, ValidationFailed

SALT = "slotbase.suppression"


def hash_of(address: str, key: str | None = None) -> str:
    """What the list has instead of an address: only we can make it, with SECRET_KEY."""
    written = address.strip().lower()
    return salted_hmac(SALT, written, secret=key, algorithm="sha256").hexdigest()


def find_suppression(address: str) -> Suppression | None:
    """What keeps mails from this address now, if anything does."""
    if not address:
        return None
    # What was written under a former key counts for as long as that key is kept.
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    hashes = [hash_of(address, key) for key in keys]
    suppressed = Suppression.objects.filter(lifted_at__isnull=True)
    return suppressed.filter(address_hash__in=hashes).first()


@transaction_required
def suppress(
    *, address: str, reason: SuppressionReason, user_id: UUID, detail: str = ""
) -> bool:
    """Send no more mails to an address; returns whether it was not on the list yet."""
    if not address or find_suppression(address):
        return False
    new = Suppression(
        address_hash=hash_of(address), reason=reason, detail=detail, user_id=user_id
    )
    Suppression.objects.bulk_create([new], ignore_conflicts=True)
    is_new = Suppression.objects.filter(pk=new.pk).exists()
    if is_new:
        audit.record(
            actor=audit.Actor.system("email"),
            action="suppression.added",
            subject="suppression",
            ids=[new.pk],
            reason=reason,
        )
    return is_new


@retry_on_conflict
def lift(*, suppression_id: UUID, staff_id: UUID, reason: str) -> None:
    """Send mails to an address again, since somebody says that it works.

    Raises:
        SuppressionNotFound: there is none.
        ValidationFailed: no reason is given.
        InvalidState: it is lifted already.
    """
    if not reason.strip():
        raise ValidationFailed(reason="Say why: whoever reads this was not here.")
    suppression = lock_suppression(suppression_id)
    if suppression.lifted_at is not None:
        raise InvalidState("It is lifted already.")
    found = Suppression.objects.filter(pk=suppression.pk)
    found.update(
        lifted_at=Now(), lifted_by_id=staff_id, lifted_because=reason.strip()[:200]
    )
    audit.record(
        actor=audit.Actor.staff(staff_id),
        action="suppression.lifted",
        subject="suppression",
        ids=[suppression.pk],
    )
