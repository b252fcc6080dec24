"""Back office: the front desk takes money once, and support gives it back."""

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from bookings.models import Booking
from bookings.services.cancelling import cancel_booking
from payments.models import OfflinePayment, Payable, Refund
from recovery.models import AuditEntry
from slotbase.accounts.models import User, Venue
from tests.factories import make_booking, make_resource, make_staff, make_venue
from tests.payments.told import dispute, pay_by_card
from tests.payments.trouble import make_owing_booking, pay_by_hand, payable_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def venue() -> Venue:
    return make_venue(name="Parkside")


@pytest.fixture
def booking(venue: Venue) -> Booking:
    return make_owing_booking(venue)


@pytest.fixture
def bob(venue: Venue) -> User:
    return make_staff("front_desk", [venue])


@pytest.fixture
def desk(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def support(venue: Venue) -> Client:
    client = Client()
    client.force_login(make_staff("support", [venue], name="Sue Sand"))
    return client


def page_of(booking: Booking) -> str:
    return reverse("admin:bookings_booking_change", args=[booking.pk])


def record_page(booking: Booking) -> str:
    return reverse("admin:bookings_booking_record_payment", args=[booking.pk])


def refund_page(booking: Booking) -> str:
    return reverse("admin:bookings_booking_refund", args=[booking.pk])


def opened(client: Client, address: str) -> dict[str, Any]:
    """What a form says when it is shown, as it would be sent."""
    answer = client.get(address)
    assert answer.status_code == 200, answer.content
    form = answer.context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: str(value) for name, value in values.items() if value}


def record(client: Client, booking: Booking, **typed: Any) -> Any:
    """Open the page, type this over what it says, and press the button."""
    return client.post(
        record_page(booking), {**opened(client, record_page(booking)), **typed}
    )


def refund(client: Client, booking: Booking, **typed: Any) -> Any:
    return client.post(
        refund_page(booking), {**opened(client, refund_page(booking)), **typed}
    )


def told(answer: Any) -> str:
    """The messages that will be shown next."""
    return " ".join(str(each) for each in get_messages(answer.wsgi_request))


def receipts() -> list[tuple[int, int]]:
    rows = OfflinePayment.objects.order_by("receipt_number")
    return [(row.receipt_number, row.amount_minor) for row in rows]


# --- Taking money -------------------------------------------------------------


def test_the_amount_that_is_due_is_filled_in_and_recorded(
    desk: Client, booking: Booking, bob: User
) -> None:
    form = opened(desk, record_page(booking))
    assert (form["amount"], form["method"]) == ("24.00", "CASH")

    answer = record(desk, booking)

    assert answer.status_code == 302
    assert answer["Location"] == page_of(booking)
    payment = OfflinePayment.objects.get()
    assert (payment.amount_minor, payment.method) == (2400, "CASH")
    assert (payment.recorded_by, payment.receipt_number) == (bob, 1)
    assert "24.00 EUR recorded (cash)" in told(answer)
    assert reverse("admin:payments_offlinepayment_receipt", args=[payment.pk]) in told(
        answer
    )
    page = desk.get(page_of(booking)).content.decode()
    assert "badge-paid" in page
    assert "receipt 1" in page
    assert "Payment recorded" in page


def test_a_part_may_be_paid_and_what_is_left_is_filled_in_next(
    desk: Client, booking: Booking
) -> None:
    record(desk, booking, amount="10,50", method="CARD_TERMINAL", note="Slip 7")

    payment = OfflinePayment.objects.get()
    assert (payment.amount_minor, payment.method) == (1050, "CARD_TERMINAL")
    assert payment.note == "Slip 7"
    assert opened(desk, record_page(booking))["amount"] == "13.50"
    assert "badge-partially_paid" in desk.get(page_of(booking)).content.decode()


def test_the_same_form_sent_again_records_nothing_and_says_so(
    desk: Client, booking: Booking
) -> None:
    form = opened(desk, record_page(booking))
    desk.post(record_page(booking), form)

    again = desk.post(record_page(booking), form)

    assert again.status_code == 302
    assert receipts() == [(1, 2400)]
    assert "24.00 EUR was already recorded at " in told(again)
    assert "by Bob Baker, receipt 1. It was not recorded again." in told(again)


def test_the_same_form_with_another_amount_records_nothing_either(
    desk: Client, booking: Booking
) -> None:
    form = opened(desk, record_page(booking))
    desk.post(record_page(booking), {**form, "amount": "10.00"})

    again = desk.post(record_page(booking), {**form, "amount": "14.00"})

    assert receipts() == [(1, 1000)]
    assert "open the form anew" in told(again)


def test_a_second_tab_with_the_same_amount_is_asked_about(
    desk: Client, booking: Booking
) -> None:
    first, second = (opened(desk, record_page(booking)) for _ in range(2))
    half = {"amount": "12.00", "note": "for Ada"}
    desk.post(record_page(booking), {**first, **half})

    asked = desk.post(record_page(booking), {**second, **half})

    assert asked.status_code == 409
    page = asked.content.decode()
    assert "12.00 EUR was already recorded at " in page
    assert "by Bob Baker, receipt 1. If this is another one" in page
    assert 'name="is_second"' in page
    assert "for Ada" in page
    assert second["key"] in page
    assert receipts() == [(1, 1200)]

    meant = desk.post(record_page(booking), {**second, **half, "is_second": "on"})
    assert meant.status_code == 302
    assert receipts() == [(1, 1200), (2, 1200)]


@pytest.mark.parametrize(
    ("amount", "is_far"),
    [("24.01", False), ("36.00", False), ("36.01", True), ("240", True)],
)
def test_more_than_is_due_is_asked_about(
    desk: Client, booking: Booking, amount: str, is_far: bool
) -> None:
    form = {**opened(desk, record_page(booking)), "amount": amount, "note": "tip"}

    asked = desk.post(record_page(booking), form)

    assert asked.status_code == 409
    page = asked.content.decode()
    assert "Only 24.00 EUR is due." in page
    assert ("is a digit wrong?" in page) == is_far
    assert 'value="tip"' in page
    assert receipts() == []

    desk.post(record_page(booking), {**form, "may_exceed": "on"})
    assert len(receipts()) == 1
    assert payable_of(booking).status == "OVERPAID"


def test_the_desk_is_sent_to_a_manager_with_more_than_it_may_take_in(
    desk: Client, booking: Booking
) -> None:
    """OFFLINE_PAYMENT_MAX_MAJOR: after the question whether a digit is wrong."""
    form = {**opened(desk, record_page(booking)), "amount": "2400"}

    assert desk.post(record_page(booking), form).status_code == 409
    refused = desk.post(record_page(booking), {**form, "may_exceed": "on"})

    assert refused.status_code == 403
    assert "More than 500.00 EUR at once is recorded by a manager." in (
        refused.content.decode()
    )
    assert receipts() == []


def test_questions_are_not_shown_before_they_are_asked(
    desk: Client, booking: Booking
) -> None:
    page = desk.get(record_page(booking)).content.decode()

    assert "may_exceed" not in page
    assert "is_second" not in page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"amount": "-5"}, "Enter digits"),
        ({"amount": "1e3"}, "Enter digits"),
        ({"amount": "1,234.00"}, "Enter digits"),
        ({"amount": "10.005"}, "EUR has 2 decimals"),
        ({"amount": ""}, "This field is required"),
        ({"amount": "0"}, "Must be more than zero"),
        ({"method": "BARTER"}, "Select a valid choice"),
        ({"method": "OTHER", "note": " "}, "Say how it was paid"),
        ({"note": "x" * 201}, "at most 200 characters"),
        ({"note": "NUL \0"}, "Null characters"),
        ({"key": ""}, "not complete"),
        ({"key": "x"}, "not complete"),
    ],
)
def test_what_cannot_be_read_is_refused_and_stays(
    desk: Client, booking: Booking, typed: dict[str, str], words: str
) -> None:
    sent = {"amount": "12.00", "note": "keep me", **typed}

    answer = record(desk, booking, **sent)

    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert sent["note"][:200].replace("\0", "") in answer.content.decode()
    assert receipts() == []


def test_a_cancelled_booking_owes_nothing_and_asks(
    desk: Client, booking: Booking
) -> None:
    cancel_booking(booking_id=booking.pk, customer_id=booking.customer_id)

    assert "amount" not in opened(desk, record_page(booking))
    answer = record(desk, booking, amount="5")

    assert answer.status_code == 409
    assert "Nothing is due." in answer.content.decode()


def test_what_is_free_has_no_money_pages(desk: Client, venue: Venue) -> None:
    free = make_booking(resource=make_resource(venue=venue))

    page = desk.get(page_of(free))
    assert page.context["money_buttons"] == []
    assert desk.get(record_page(free)).status_code == 404
    assert desk.post(record_page(free), {}).status_code == 404


# --- Who may ------------------------------------------------------------------


def test_each_sees_the_buttons_that_they_may_press(
    desk: Client, support: Client, booking: Booking
) -> None:
    def buttons(client: Client) -> list[str]:
        return [
            words for words, _ in client.get(page_of(booking)).context["money_buttons"]
        ]

    assert buttons(desk) == ["Record payment"]
    assert buttons(support) == ["Refund"]


@pytest.mark.parametrize("group", ["support", "auditor", "operations", None])
def test_others_record_nothing(
    client: Client, booking: Booking, venue: Venue, desk: Client, group: str | None
) -> None:
    form = opened(desk, record_page(booking))
    client.force_login(make_staff(group, [venue]))

    assert client.get(record_page(booking)).status_code == 403
    assert client.post(record_page(booking), form).status_code == 403
    assert receipts() == []


@pytest.mark.parametrize("group", ["front_desk", "manager", "auditor", "operations"])
def test_others_refund_nothing(
    client: Client, booking: Booking, venue: Venue, support: Client, group: str
) -> None:
    pay_by_hand(booking, make_staff("front_desk", [venue]))
    form = opened(support, refund_page(booking))
    client.force_login(make_staff(group, [venue]))

    assert client.get(refund_page(booking)).status_code == 403
    assert client.post(refund_page(booking), form).status_code == 403
    assert not Refund.objects.exists()


def test_the_money_of_another_venue_is_out_of_reach(
    desk: Client, support: Client, booking: Booking
) -> None:
    elsewhere = make_owing_booking()
    form = opened(desk, record_page(booking))

    assert desk.get(record_page(elsewhere)).status_code == 404
    assert desk.post(record_page(elsewhere), form).status_code == 404
    assert support.get(refund_page(elsewhere)).status_code == 404
    assert receipts() == []


def test_whoever_is_not_signed_in_is_sent_to_the_login(
    client: Client, booking: Booking
) -> None:
    for address in (record_page(booking), refund_page(booking)):
        for answer in (client.get(address), client.post(address)):
            assert answer["Location"].startswith("/admin/login/")


def test_forms_without_their_token_move_nothing(
    desk: Client, booking: Booking, bob: User
) -> None:
    form = opened(desk, record_page(booking))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob)

    assert strict.post(record_page(booking), form).status_code == 403
    assert receipts() == []


def test_looking_moves_nothing(
    desk: Client, support: Client, booking: Booking, bob: User
) -> None:
    pay_by_hand(booking, bob)
    entries = AuditEntry.objects.count()

    desk.get(record_page(booking), opened(desk, record_page(booking)))
    support.get(refund_page(booking), opened(support, refund_page(booking)))

    assert receipts() == [(1, 2400)]
    assert not Refund.objects.exists()
    assert AuditEntry.objects.count() == entries


# --- Giving it back -----------------------------------------------------------


def test_cash_that_is_refunded_becomes_a_payout(
    support: Client, booking: Booking, bob: User
) -> None:
    pay_by_hand(booking, bob)
    form = opened(support, refund_page(booking))
    assert form["amount"] == "24.00"

    answer = refund(support, booking)

    assert answer.status_code == 302
    assert answer["Location"] == page_of(booking)
    assert "24.00 EUR is to be paid out" in told(answer)
    given = Refund.objects.get()
    assert (given.amount_minor, given.status) == (2400, "NEEDS_STAFF")
    assert str(given.requested_by) == "Sue Sand"


def test_a_part_of_a_card_payment_goes_back_and_the_rest_is_shown(
    support: Client, booking: Booking
) -> None:
    pay_by_card(payable_of(booking))

    answer = refund(support, booking, amount="10")

    assert "10.00 EUR goes back to the card" in told(answer)
    assert Refund.objects.get().amount_minor == 1000
    page = support.get(refund_page(booking)).content.decode()
    assert "14.00 EUR left of 24.00 EUR: card, pi_told" in page


def test_what_is_too_much_is_filled_in(
    support: Client, booking: Booking, bob: User
) -> None:
    pay_by_hand(booking, bob, 3000, may_exceed=True)

    assert opened(support, refund_page(booking))["amount"] == "6.00"


def test_of_several_payments_one_is_chosen(
    support: Client, booking: Booking, bob: User
) -> None:
    first, second = (pay_by_hand(booking, bob, amount) for amount in (1000, 1400))
    form = opened(support, refund_page(booking))
    assert "payment" not in form
    assert "amount" not in form

    assert refund(support, booking, amount="5").status_code == 400
    refund(support, booking, payment=str(second.pk), amount="5")

    assert Refund.objects.get().offline_payment == second
    page = support.get(refund_page(booking)).content.decode()
    assert "10.00 EUR left of 10.00 EUR: cash, receipt 1" in page
    assert "9.00 EUR left of 14.00 EUR: cash, receipt 2" in page
    assert first.pk != second.pk


def test_a_form_that_is_sent_twice_gives_back_once(
    support: Client, booking: Booking, bob: User
) -> None:
    pay_by_hand(booking, bob)
    form = {**opened(support, refund_page(booking)), "amount": "10.00"}
    support.post(refund_page(booking), form)

    again = support.post(refund_page(booking), form)

    assert again.status_code == 409
    assert Refund.objects.count() == 1


def test_whoever_looked_before_the_money_changed_looks_again_and_keeps_the_text(
    support: Client, booking: Booking, bob: User
) -> None:
    pay_by_hand(booking, bob, 1000)
    form = {**opened(support, refund_page(booking)), "amount": "7.77"}
    pay_by_hand(booking, bob, 1400)

    answer = support.post(refund_page(booking), form)

    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Somebody changed its money meanwhile." in page
    assert 'value="7.77"' in page
    assert "14.00 EUR left" in page
    assert f'name="version" value="{payable_of(booking).version}"' in page
    assert not Refund.objects.exists()

    seen = {**form, "version": payable_of(booking).version}
    assert support.post(refund_page(booking), seen).status_code == 302


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ({"amount": "24.01"}, 409, "Only 24.00 EUR is left of this payment."),
        ({"amount": "0"}, 400, "Must be more than zero"),
        ({"amount": "x"}, 400, "Enter digits"),
        ({"payment": "x"}, 400, "Select a valid choice"),
        ({"version": ""}, 400, "not complete"),
    ],
)
def test_what_cannot_be_given_back_is_refused(
    support: Client,
    booking: Booking,
    bob: User,
    typed: dict[str, str],
    status: int,
    words: str,
) -> None:
    pay_by_hand(booking, bob)

    answer = refund(support, booking, **typed)

    assert answer.status_code == status
    assert words in answer.content.decode()
    assert not Refund.objects.exists()


def test_a_payment_of_another_booking_cannot_be_chosen(
    support: Client, booking: Booking, venue: Venue, bob: User
) -> None:
    pay_by_hand(booking, bob)
    other = make_owing_booking(venue)
    foreign = pay_by_hand(other, bob)

    answer = refund(support, booking, payment=str(foreign.pk))

    assert answer.status_code == 400
    assert not Refund.objects.exists()


def test_what_is_disputed_meanwhile_is_not_given_back(
    support: Client, booking: Booking
) -> None:
    payment = pay_by_card(payable_of(booking))
    form = opened(support, refund_page(booking))
    dispute(payment)
    form["version"] = str(Payable.objects.get(pk=booking.payable_id).version)

    answer = support.post(refund_page(booking), form)

    assert answer.status_code == 400
    assert not Refund.objects.exists()
    page = support.get(refund_page(booking)).content.decode()
    assert "There is nothing to give back." in page
