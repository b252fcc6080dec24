"""The money of a venue in a month, for its accountants: no names, but in the notes."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from payments.models import CardPayment, OfflinePayment, Refund
from payments.states import DONE_REFUNDS
from recovery import audit
from slotbase.accounts.models import Venue
from slotbase.lib.csv_files import Cell
from slotbase.lib.money import exponent

COLUMNS = (
    *("moment", "kind", "reference", "sold", "amount", "currency"),
    *("tax_rate", "receipt", "note", "id"),
)
AT_ONCE = 500


def export_money(
    *, venue_id: int, month: date, staff_id: UUID
) -> Iterator[Sequence[Cell]]:
    """The rows of a month by the clock of the venue, a head first; it is audited.

    Rows are read while they are written out, so a large month needs little memory.

    Raises:
        Venue.DoesNotExist: there is none.
    """
    venue = Venue.objects.get(pk=venue_id)
    with transaction.atomic():
        audit.record(
            actor=audit.Actor.staff(staff_id),
            action="export.made",
            subject="venue",
            ids=[venue.pk],
            reason=f"payments and refunds of {month:%Y-%m}",
        )
    return _rows(venue, *_month_of(venue, month))


def _month_of(venue: Venue, month: date) -> tuple[datetime, datetime]:
    year, number = divmod(month.year * 12 + month.month, 12)
    first = datetime(month.year, month.month, 1, tzinfo=venue.zone)
    return first, datetime(year, number + 1, 1, tzinfo=venue.zone)


def _rows(venue: Venue, since: datetime, until: datetime) -> Iterator[Sequence[Cell]]:
    yield COLUMNS

    def within(rows: QuerySet[Any], stamp: str) -> Iterator[Any]:
        lookups = {f"{stamp}__gte": since, f"{stamp}__lt": until}
        found = rows.filter(payable__venue=venue, **lookups).annotate(at=F(stamp))
        found = found.select_related("payable").order_by("at", "pk")
        each: Iterator[Any] = found.iterator(chunk_size=AT_ONCE)
        return each

    for card in within(
        CardPayment.objects.filter(received_minor__gt=0), "succeeded_at"
    ):
        money = (card.received_minor, card.received_currency or card.currency)
        yield _row(venue, card, "card", money)
    for paid in within(OfflinePayment.objects.all(), "recorded_at"):
        money = (paid.amount_minor, paid.currency)
        more = (paid.receipt_number, paid.note)
        yield _row(venue, paid, paid.method.lower(), money, *more)
    for refund in within(Refund.objects.filter(status__in=DONE_REFUNDS), "settled_at"):
        yield _row(venue, refund, "refund", (-refund.amount_minor, refund.currency))


def _row(
    venue: Venue,
    row: Any,
    kind: str,
    money: tuple[int, str],
    receipt: Cell = "",
    note: str = "",
) -> Sequence[Cell]:
    minor, currency = money
    amount = Decimal(minor).scaleb(-exponent(currency))
    moment = row.at.astimezone(venue.zone).isoformat(timespec="seconds")
    sale = row.payable
    return (
        *(moment, kind, sale.reference, sale.title, amount, currency),
        *(sale.tax_rate, receipt, note, str(row.pk)),
    )
