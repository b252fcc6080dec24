"""Back office: what staff see of money, whose it is, and how it is found."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from payments.models import (
    CardPayment,
    Dispute,
    OfflinePayment,
    Payable,
    Refund,
    RefundFailure,
)
from slotbase.accounts.models import User, Venue
from tests.factories import make_customer, make_staff, make_venue
from tests.payments.told import (
    SECRET,
    begin,
    make_payable,
    make_some_of_each,
    pay_by_card,
    pay_by_hand,
)

pytestmark = pytest.mark.django_db

MONEY = (Payable, CardPayment, OfflinePayment, Refund, Dispute)
EACH_PAGE = pytest.mark.parametrize("model", MONEY)
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def venue() -> Venue:
    return make_venue(name="Parkside", time_zone="America/New_York", address="1 Road")


@pytest.fixture
def alice() -> User:
    return make_customer("Alice Adler", email="alice@example.com")


@pytest.fixture
def bob(venue: Venue) -> User:
    return make_staff("front_desk", [venue])


@pytest.fixture
def payable(venue: Venue, bob: User, alice: User) -> Payable:
    return make_some_of_each(venue, bob, customer=alice)


@pytest.fixture
def desk(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def list_of(model: Any) -> str:
    return reverse(f"admin:payments_{model._meta.model_name}_changelist")


def page_of(row: Any) -> str:
    return reverse(f"admin:payments_{row._meta.model_name}_change", args=[row.pk])


def receipt_of(payment: OfflinePayment) -> str:
    return reverse("admin:payments_offlinepayment_receipt", args=[payment.pk])


def shown(client: Client, model: Any, **query: str) -> list[Any]:
    answer = client.get(list_of(model), query)
    assert answer.status_code == 200, answer.content
    return list(answer.context["cl"].result_list)


def text(client: Client, row: Any) -> str:
    answer = client.get(page_of(row))
    assert answer.status_code == 200
    return answer.content.decode()


# --- What a page says ---------------------------------------------------------


def test_a_payable_shows_all_of_its_money(desk: Client, payable: Payable) -> None:
    page = text(desk, payable)

    for words in (
        *("badge-overpaid", "24.00 EUR", "29.01 EUR", "Alice Adler"),
        *("MNEY0-00001", "Card payment succeeded", "Refund failed", "Dispute open"),
        *("Payment recorded", "Payable opened", "EST"),
    ):
        assert words in page, words
    for model in (CardPayment, OfflinePayment, Refund, Dispute):
        assert page_of(model.objects.get()) in page, model


def test_a_reference_leads_to_the_booking(desk: Client, payable: Payable) -> None:
    bookings = reverse("admin:bookings_booking_changelist")

    assert f'href="{bookings}?q=MNEY0-00001"' in text(desk, payable)


def test_a_refund_tells_why_it_failed_and_of_which_payment(
    desk: Client, payable: Payable
) -> None:
    refund = Refund.objects.get()

    page = text(desk, refund)

    for words in (
        *("The card has expired or was cancelled.", "1.00 EUR", "badge-failed"),
        *("Made at Stripe by a person", "re_told1", "Refund requested"),
        *(page_of(payable), page_of(CardPayment.objects.get())),
        reverse("admin:recovery_case_change", args=[RefundFailure.objects.get().pk]),
    ):
        assert words in page, words


def test_a_payment_in_another_currency_is_shown_as_it_came(
    desk: Client, payable: Payable
) -> None:
    CardPayment.objects.update(received_currency="USD")

    assert "24.00 USD" in text(desk, CardPayment.objects.get())
    CardPayment.objects.update(received_currency="EUR")


def test_no_page_shows_what_opens_a_payment_at_stripe(
    desk: Client, venue: Venue
) -> None:
    payable = make_payable(venue)
    payment = begin(payable, "pi_open")
    assert payment.client_secret == SECRET

    for page in (
        *(text(desk, payment), text(desk, payable)),
        *(desk.get(list_of(each)).content.decode() for each in MONEY),
    ):
        assert SECRET not in page


def test_a_receipt_has_venue_number_date_amount_tax_and_method(
    desk: Client, venue: Venue, bob: User
) -> None:
    payable = make_payable(venue, tax_rate=19)
    payment = pay_by_hand(payable, bob, 2400)

    page = desk.get(receipt_of(payment)).content.decode()

    for words in (
        *("Parkside", "1 Road", "Receipt 1", "24.00 EUR", "3.83 EUR (19 %)"),
        *("Cash", "EST", "MNEY0-00001", "Court"),
    ):
        assert words in page, words


def test_what_people_wrote_is_shown_as_text(desk: Client, payable: Payable) -> None:
    Payable.objects.update(title=EVIL, reference=EVIL)
    OfflinePayment.objects.update(note=EVIL)
    Refund.objects.update(evidence=EVIL, failure_reason=EVIL)

    for model in MONEY:
        pages = [desk.get(list_of(model)).content.decode()]
        pages += [text(desk, row) for row in model.objects.all()]
        assert not [page for page in pages if "<script>alert" in page], model
    assert "<script>alert" not in (
        desk.get(receipt_of(OfflinePayment.objects.get())).content.decode()
    )


# --- Who sees what ------------------------------------------------------------


@EACH_PAGE
def test_staff_see_the_money_of_their_own_venues(
    desk: Client, payable: Payable, model: Any
) -> None:
    make_some_of_each(make_venue(), make_staff(), 2)
    mine = list(model.objects.filter(pk__in=[row.pk for row in shown(desk, model)]))

    assert len(mine) == 1
    foreign = model.objects.exclude(pk=mine[0].pk).get()
    assert desk.get(page_of(mine[0])).status_code == 200
    assert desk.get(page_of(foreign)).status_code == 302


def test_a_receipt_of_another_venue_is_none(desk: Client, payable: Payable) -> None:
    elsewhere = pay_by_hand(make_payable(make_venue()), make_staff())

    assert desk.get(receipt_of(elsewhere)).status_code == 404


def test_money_without_a_venue_is_for_support(client: Client, desk: Client) -> None:
    payable = make_payable(None)

    assert shown(desk, Payable) == []
    client.force_login(make_staff("support"))
    assert shown(client, Payable) == [payable]
    assert client.get(page_of(payable)).status_code == 200


@EACH_PAGE
@pytest.mark.parametrize("group", ["operations", None])
def test_others_see_no_money(
    client: Client, payable: Payable, model: Any, group: str | None
) -> None:
    client.force_login(make_staff(group))

    assert client.get(list_of(model)).status_code == 403
    assert client.get(page_of(model.objects.get())).status_code == 403


def test_others_print_no_receipts(client: Client, payable: Payable) -> None:
    client.force_login(make_staff("operations"))

    assert client.get(receipt_of(OfflinePayment.objects.get())).status_code == 403


@pytest.mark.parametrize("group", ["manager", "support", "support_lead", "auditor"])
def test_these_look_at_money(
    client: Client, payable: Payable, venue: Venue, group: str
) -> None:
    client.force_login(make_staff(group, [venue]))

    for model in MONEY:
        assert len(shown(client, model)) == 1, model
        assert client.get(page_of(model.objects.get())).status_code == 200


# --- Finding ------------------------------------------------------------------


def test_money_is_found_by_reference_customer_and_id_at_stripe(
    desk: Client, payable: Payable, bob: User, venue: Venue
) -> None:
    make_some_of_each(venue, bob, 2)
    people = ("Alice", "alice@example.com")
    references = ("MNEY0-00001", "mney000001", " mney0-00001 ")

    for model in MONEY:
        for typed in (*references, *people, "pi_told1", "re_told1", "dp_told1"):
            assert len(shown(desk, model, q=typed)) == 1, (model, typed)
        for typed in ("Al", "pi_told", "nobody", "\N{SNOWMAN}" * 3):
            assert shown(desk, model, q=typed) == [], (model, typed)
        assert len(shown(desk, model)) == 2


def test_contact_data_finds_nothing_for_those_who_may_not_see_it(
    client: Client, payable: Payable
) -> None:
    client.force_login(make_staff("auditor"))

    assert shown(client, Payable, q="alice@example.com") == []
    assert shown(client, Payable, q="Alice") == [payable]


def test_payables_filter_by_balance(desk: Client, venue: Venue, bob: User) -> None:
    unpaid, paid, over = (
        make_payable(venue, reference=f"MNEY{n}-00000") for n in range(3)
    )
    pay_by_card(paid, "pi_paid")
    pay_by_hand(over, bob, 2500)

    assert shown(desk, Payable, balance="due") == [unpaid]
    assert shown(desk, Payable, balance="excess") == [over]
    assert shown(desk, Payable, balance="refunds") == []


@EACH_PAGE
def test_the_address_asks_nothing_that_no_filter_offers(
    desk: Client, payable: Payable, model: Any
) -> None:
    for query in (
        {"client_secret__startswith": "p"},
        {"payable__customer__email": "a"},
    ):
        answer = desk.get(list_of(model), query)
        assert answer.headers["Location"] == f"{list_of(model)}?e=1"


# --- Cost ---------------------------------------------------------------------


@EACH_PAGE
def test_more_money_costs_no_more_queries(
    desk: Client, payable: Payable, bob: User, venue: Venue, model: Any
) -> None:
    def queries(**query: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert shown(desk, model, **query)
        return len(captured)

    few, few_found = queries(), queries(q="MNEY0-00001")
    for number in range(2, 5):
        make_some_of_each(venue, bob, number, make_customer())

    assert queries() == few <= 12
    assert queries(q="MNEY0-00001") == few_found <= 18


def test_more_rows_below_a_payable_cost_no_more_queries(
    desk: Client, venue: Venue, bob: User
) -> None:
    payable = make_payable(venue)
    pay_by_hand(payable, bob, 100)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            text(desk, payable)
        return len(captured)

    few = queries()
    for amount in range(101, 105):
        pay_by_hand(payable, bob, amount)

    assert queries() == few <= 40
