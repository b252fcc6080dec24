"""Every lock of this app; see `bookings/locks.py` for the order of the whole product.

The row of a payable is the lock for all of its money: whoever changes one of its
payments, refunds or disputes has it, and reads them again once it does.
"""

from collections.abc import Iterable
from uuid import UUID

from django.db import connection

from payments.errors import PayableNotFound
from payments.models import Payable
from slotbase.lib.db import transaction_required


@transaction_required
def lock_payable(payable_id: UUID) -> Payable:
    """A payable, locked.

    Raises:
        PayableNotFound: there is none.
    """
    for payable in lock_payables([payable_id]):
        return payable
    raise PayableNotFound


@transaction_required
def lock_payables(payable_ids: Iterable[UUID]) -> list[Payable]:
    """These payables, locked one after the other by their ids."""
    # NO KEY: rows that refer to it can be inserted meanwhile.
    rows = Payable.objects.select_for_update(no_key=True).filter(pk__in=[*payable_ids])
    return list(rows.order_by("pk"))


# Any number that nobody else takes.
_DECIDING = 26_26_28


@transaction_required
def lock_decisions_of(staff_id: UUID) -> None:
    """Take turns over what one member of staff may give back in a day; no row waits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_DECIDING, str(staff_id)]
        )


@transaction_required
def next_receipt_number(venue_id: int) -> int:
    """The next number of a venue's receipts; taken for good when this commits."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO payments_receiptcounter AS c (venue_id, last_number)"
            " VALUES (%s, 1) ON CONFLICT (venue_id)"
            " DO UPDATE SET last_number = c.last_number + 1 RETURNING last_number",
            [venue_id],
        )
        row = cursor.fetchone()
    assert row is not None, "either part returns a row"  # noqa: S101
    number: int = row[0]
    return number
