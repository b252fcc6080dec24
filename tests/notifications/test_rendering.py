"""Mails say what happened in words, in the venue's zone, and nothing escapes."""

from typing import Any

import pytest

from notifications.rendering import TEMPLATES, render
from tests.notifications.conftest import CONTEXT

FULL = {
    **CONTEXT,
    "refund_minor": 2000,
    "payout_minor": 0,
    "fee_kept_minor": 500,
    "fee_due_minor": 0,
    "in_dispute_minor": 0,
    "is_all": False,
    "offered_until": "2030-06-30T20:15:00+00:00",
    "was_local": "2030-06-30T09:30",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_template_says_what_where_and_when(name: str) -> None:
    mail = render(name, FULL, person="Alice Adler")

    for body in (mail.html, mail.text):
        assert "Hello Alice Adler," in body
        assert "Court 1" in body
        assert "Tennis am Park" in body
        assert "Monday, 1 July 2030, 12:00 to 13:00 (Europe/Berlin)" in body
    assert "<" not in mail.text
    assert "{" not in mail.html + mail.text + mail.subject
    assert "\n" not in mail.subject
    assert "Court 1" in mail.subject


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("booking_confirmed", {}, "The price is 25.00 EUR."),
        ("booking_confirmed", {"price_minor": 0}, "There is nothing to pay."),
        ("booking_confirmed", {}, "7K3QF-9XW2M"),
        ("booking_cancelled", {}, "You get 20.00 EUR back."),
        ("booking_cancelled", {}, "A fee of 5.00 EUR was kept"),
        ("booking_cancelled", {"fee_due_minor": 700}, "kept, and 7.00 EUR more is"),
        ("booking_cancelled", {"refund_minor": 0}, "There is no money"),
        ("booking_cancelled", {"payout_minor": 100}, "1.00 EUR back at the venue"),
        ("booking_cancelled", {"in_dispute_minor": 900}, "deciding about 9.00 EUR"),
        ("refund_promised", {}, "You get 20.00 EUR back."),
        ("refund_promised", {}, "A fee of 5.00 EUR was kept"),
        ("late_payment_refunded", {}, "You get 20.00 EUR back."),
        ("late_payment_refunded", {"is_all": True}, "all of your money back: 20.00"),
        ("late_payment_refunded", {}, "within 5 to 10 days"),
        ("refund_delayed", {}, "refund of 20.00 EUR takes longer"),
        ("waitlist_offered", {}, "until Sunday, 30 June 2030, 22:15 (Europe/Berlin)."),
        ("waitlist_offered", {"price_minor": 0}, "There is nothing to pay."),
        ("waitlist_lapsed", {}, "join the waitlist again."),
        ("waitlist_lapsed", {"was_closed": True}, "was closed by the venue"),
        ("booking_confirmed", {"currency": "JPY"}, "2500 JPY"),
        ("booking_moved", {}, "It was to start on Sunday, 30 June 2030, 09:30."),
        ("booking_moved", {"was_local": ""}, "The price is the same"),
    ],
)
def test_what_it_says(name: str, changes: dict[str, Any], says: str) -> None:
    mail = render(name, {**FULL, **changes}, person="")

    assert says in mail.text
    assert says in mail.html
    assert mail.text.startswith("Hello,")


def test_a_slot_over_midnight_names_both_days() -> None:
    late = {"start_time": "2030-07-01T21:00:00Z", "end_time": "2030-07-01T23:00:00Z"}

    mail = render("booking_confirmed", {**FULL, **late}, person="")

    assert "Monday, 1 July 2030, 23:00 to Tuesday, 2 July 2030, 01:00" in mail.text


def test_what_people_typed_is_text_in_html_and_one_line_in_the_subject() -> None:
    evil = "<script>alert(1)</script> & Co\r\nBcc: eve@example.com"

    mail = render("booking_confirmed", {**FULL, "title": evil}, person="<b>Eve</b>")

    assert "<script>" not in mail.html
    assert "<b>" not in mail.html
    assert "&lt;script&gt;" in mail.html
    assert "<script>alert(1)</script> & Co" in mail.text
    assert "& Co Bcc: eve@example.com" in mail.subject
    assert not {"\r", "\n"} & set(mail.subject)


def test_a_long_title_does_not_make_a_long_subject() -> None:
    mail = render("refund_delayed", {**FULL, "title": "x" * 999}, person="")

    assert len(mail.subject) == 200
