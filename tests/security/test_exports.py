"""S25: what accountants open in a spreadsheet runs nothing, and its numbers add up."""

import csv
import io
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from payments.models import CardPayment, OfflinePayment, Refund
from payments.services.exports import COLUMNS, export_money
from payments.services.refund_desk import settle_by_hand
from recovery.models import AuditEntry
from slotbase.accounts.models import User, Venue
from slotbase.lib.clock import read_clock
from slotbase.lib.csv_files import make_harmless, write_lines
from tests.factories import make_staff, make_venue
from tests.payments.told import make_payable, make_some_of_each, pay_by_hand
from tests.payments.trouble import make_payout, refund_behind

PAYLOADS = [
    "=1+1",
    '=HYPERLINK("https://evil.example","x")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\uff1d1+1",
    "\uff0b1+1",
    "\uff0d1+1",
    "\uff20SUM(A1)",
    " =1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    '=1","=2\r\n=3',
]


def read_back(rows: list[Any]) -> list[list[str]]:
    text = "".join(write_lines(rows))
    return [*csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_is_a_formula_and_none_leaves_its_cell(payload: str) -> None:
    (row,) = read_back([(payload, "after")])

    assert row == [f"'{payload}", "after"]


@pytest.mark.parametrize("text", ["Court 1", "12.00", "a=b", "Ann-Lee", "", "2026-05"])
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    assert read_back([(text,)])[0] == [text] or text == ""
    assert make_harmless(text) == text


@pytest.mark.parametrize("number", [Decimal("-12.50"), Decimal("0.00"), -3, 10**12])
def test_a_number_stays_a_number(number: Any) -> None:
    line = [*write_lines([(number,)])][1]

    assert line == f"{number}\r\n"
    assert Decimal(line) == number


# --- The export -------------------------------------------------------------------


@pytest.fixture
def venue(db: None) -> Venue:
    return make_venue(slug="parkside", time_zone="Europe/Berlin")


@pytest.fixture
def manager(venue: Venue) -> User:
    return make_staff("manager", [venue])


def month_now(venue: Venue) -> date:
    return read_clock().astimezone(venue.zone).date().replace(day=1)


def sign_in(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


def export(client: Client, venue: Venue, month: str = "") -> Any:
    month = month or f"{month_now(venue):%Y-%m}"
    return client.post(reverse("export"), {"venue": venue.pk, "month": month})


def table_of(answer: Any) -> list[dict[str, str]]:
    text = b"".join(answer.streaming_content).decode("utf-8-sig")
    return [*csv.DictReader(io.StringIO(text, newline=""))]


def test_the_file_has_all_money_of_the_month_once(venue: Venue, manager: User) -> None:
    make_some_of_each(venue, manager)

    answer = export(sign_in(manager), venue)

    rows = table_of(answer)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith('attachment; filename="parkside-')
    assert tuple(rows[0]) == COLUMNS
    came = CardPayment.objects.filter(received_minor__gt=0, succeeded_at__isnull=False)
    gone = Refund.objects.filter(settled_at__isnull=False, status="SUCCEEDED")
    expected = {str(each.pk) for each in [*came, *OfflinePayment.objects.all(), *gone]}
    assert {row["id"] for row in rows} == expected
    assert len(rows) == len(expected) >= 2


def test_a_negative_amount_can_be_added_up(venue: Venue, manager: User) -> None:
    case = make_payout(manager, venue)
    settle_by_hand(
        refund_id=refund_behind(case).pk, staff_id=manager.pk, evidence="=1+1"
    )

    rows = table_of(export(sign_in(manager), venue))

    amounts = {row["kind"]: Decimal(row["amount"]) for row in rows}
    assert amounts["refund"] < 0 < amounts["cash"]
    assert sum(amounts.values()) == 0


def test_what_somebody_typed_is_no_formula_there(venue: Venue, manager: User) -> None:
    pay_by_hand(make_payable(venue, title="@SUM(A1)"), manager, 500)
    OfflinePayment.objects.update(note="=1+1")

    (row,) = table_of(export(sign_in(manager), venue))

    assert (row["note"], row["sold"], row["amount"]) == ("'=1+1", "'@SUM(A1)", "5.00")


def test_no_person_is_named(venue: Venue, manager: User) -> None:
    from tests.factories import make_customer

    alice = make_customer("Alice Adler", email="a@example.com", phone="+49 1")
    pay_by_hand(make_payable(venue, alice), manager, 500)

    text = b"".join(export(sign_in(manager), venue).streaming_content).decode()

    assert "Alice" not in text
    assert "example.com" not in text


def test_another_month_is_another_file(venue: Venue, manager: User) -> None:
    pay_by_hand(make_payable(venue), manager, 500)
    before = month_now(venue) - timedelta(days=1)

    assert table_of(export(sign_in(manager), venue, f"{before:%Y-%m}")) == []


def test_december_ends_with_the_year(venue: Venue, manager: User) -> None:
    rows = export_money(venue_id=venue.pk, month=date(2029, 12, 1), staff_id=manager.pk)

    assert [*rows] == [COLUMNS]


def test_an_export_stands_in_the_audit(venue: Venue, manager: User) -> None:
    export(sign_in(manager), venue, "2026-05")

    entry = AuditEntry.objects.get(action="export.made")
    assert (entry.subject_type, entry.subject_id) == ("venue", str(venue.pk))
    assert str(entry.actor_id) == str(manager.pk)
    assert entry.reason == "payments and refunds of 2026-05"


@pytest.mark.parametrize("group", ["manager", "support_lead"])
def test_nobody_exports_the_money_of_others(venue: Venue, group: str) -> None:
    answer = export(sign_in(make_staff(group, [make_venue()])), venue)

    assert answer.status_code == 400
    assert not AuditEntry.objects.filter(action="export.made").exists()


@pytest.mark.parametrize("group", ["front_desk", "support", "operations", None])
def test_who_need_not_export_may_not(venue: Venue, group: str | None) -> None:
    client = sign_in(make_staff(group, [venue]))

    assert client.get(reverse("export")).status_code == 403
    assert export(client, venue).status_code == 403


@pytest.mark.parametrize("group", ["manager", "support_lead", "auditor"])
def test_these_may(venue: Venue, group: str) -> None:
    client = sign_in(make_staff(group, [venue]))

    assert client.get(reverse("export")).status_code == 200
    assert export(client, venue).status_code == 200


def test_a_post_without_its_token_is_refused(venue: Venue, manager: User) -> None:
    client = sign_in(manager, enforce_csrf_checks=True)

    assert export(client, venue).status_code == 403
    assert not AuditEntry.objects.filter(action="export.made").exists()


@pytest.mark.parametrize(
    "month", ["2026-13", "9999-12", "0001-01", "x", "=1+1", "2026-05-01"]
)
def test_a_month_that_is_none_is_told(venue: Venue, manager: User, month: str) -> None:
    answer = export(sign_in(manager), venue, month)

    assert answer.status_code == 400
    assert "Give a month such as 2026-05." in answer.content.decode()


def test_looking_at_the_page_exports_nothing(venue: Venue, manager: User) -> None:
    sign_in(manager).get(reverse("export"), {"venue": venue.pk, "month": "2026-05"})

    assert not AuditEntry.objects.filter(action="export.made").exists()
