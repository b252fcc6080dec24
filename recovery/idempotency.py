"""Idempotency-Key: the same request twice has one effect and one answer."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection

from recovery.errors import KeyInProgress, KeyReused
from recovery.models import IdempotencyRecord
from slotbase.lib.clock import Now
from slotbase.lib.db import LOCK_NOT_AVAILABLE, sqlstate, transaction_required


@dataclass(frozen=True)
class Once:
    """A request that must have its effect once: whose it is, its key and its body."""

    principal: str
    key: str
    route: str
    body_hash: str


class AlreadyAnswered(Exception):
    """The request was done before; answer with its object as it is now."""

    def __init__(self, *, status: int, object_id: UUID) -> None:
        super().__init__(str(object_id))
        self.status = status
        self.object_id = object_id


@transaction_required
def begin(once: Once | None, *, status: int, object_id: UUID) -> None:
    """Promise the answer to this key; it commits with the effect or not at all.

    Must be the first statement of the transaction (lock order). A twin that runs at the
    same time waits here until the first one is decided.

    Raises:
        AlreadyAnswered: the key has its answer.
        KeyReused: the key was used with another address or body.
        KeyInProgress: the first request has been running for too long.
    """
    if once is None:
        return
    record = None
    while record is None:  # a purge may delete the answer between the two statements
        if _insert(once, status, object_id):
            return
        record = IdempotencyRecord.objects.filter(
            principal=once.principal, key=once.key
        ).first()
    if (record.route, record.body_hash) != (once.route, once.body_hash):
        raise KeyReused("Use a new key for a new request.")
    raise AlreadyAnswered(status=record.status, object_id=record.object_id)


def _insert(once: Once, status: int, object_id: UUID) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO recovery_idempotencyrecord"
                " (principal, key, route, body_hash, status, object_id)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [
                    *(once.principal, once.key, once.route, once.body_hash),
                    *(status, object_id),
                ],
            )
            return bool(cursor.rowcount)
    except OperationalError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise KeyInProgress("Wait for its answer.") from error
        raise


@transaction_required
def correct(once: Once | None, *, status: int, object_id: UUID) -> None:
    """Answer with another object than the one that was promised."""
    if once is not None:
        IdempotencyRecord.objects.filter(principal=once.principal, key=once.key).update(
            status=status, object_id=object_id
        )


@transaction_required
def withdraw(once: Once | None) -> None:
    """Leave no answer after all: the request is refused, though something commits."""
    if once is not None:
        IdempotencyRecord.objects.filter(
            principal=once.principal, key=once.key
        ).delete()


def purge_old_records(*, limit: int) -> int:
    """Forget answers that are older than the retention; returns how many."""
    age = timedelta(hours=settings.IDEMPOTENCY_RETENTION_HOURS)
    old = IdempotencyRecord.objects.filter(created_at__lte=Now() - age)
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    return IdempotencyRecord.objects.filter(pk__in=ids).delete()[0]
