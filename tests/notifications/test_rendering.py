"""Mails and pushes say what happened, in the venue's zone, and nothing escapes."""

from typing import Any

import pytest

from notifications import rendering, wording
from notifications.errors import UnknownTemplate
from notifications.kinds import KINDS
from notifications.rendering import render, render_push
from notifications.samples import sample_of
from notifications.states import Channel
from notifications.wording import list_languages

FULL: dict[str, Any] = {
    **{key: value for name in KINDS for key, value in sample_of(name).items()},
    "refund_minor": 2000,
    "fee_kept_minor": 500,
    "is_all": False,
}
NOT_PAID = {"fee_kept_minor": 0, "fee_due_minor": 500}
LINK = "https://slotbase.example/unsubscribe/1"
MAILS = [name for name, kind in KINDS.items() if Channel.EMAIL in kind.channels]
PUSHES = [name for name, kind in KINDS.items() if Channel.PUSH in kind.channels]
LINE = "<a href='https://eve.example'>Win</a> & {{ secret }} %(x)s"
EVIL, AS_TEXT = f"{LINE}\r\nBcc: eve@example.com", f"{LINE} Bcc: eve@example.com"
in_each_language = pytest.mark.parametrize("locale", list_languages())


@pytest.mark.parametrize("name", MAILS)
def test_each_mail_says_what_where_and_when(name: str) -> None:
    mail = render(name, sample_of(name), person="Alice Adler")

    for body in (mail.html, mail.text):
        assert "Hello Alice Adler," in body
        assert "Court 1" in body
        assert "Tennis am Park" in body
        assert "Monday, 1 July 2030, 12:00 to 13:00 (Europe/Berlin)" in body
        assert "Parkstraße 1, 10115 Berlin" in body
    assert "<" not in mail.text
    assert "\n" not in mail.subject
    assert "Court 1" in mail.subject


@pytest.mark.parametrize("name", PUSHES)
@in_each_language
def test_each_push_has_a_title_and_a_body_that_fit(name: str, locale: str) -> None:
    push = render_push(name, sample_of(name), locale)

    assert "Court 1" in push.title
    assert 10 < len(push.body) < 300
    assert not push.body.endswith("…")
    assert ".." not in push.body


def test_a_receipt_without_a_number_does_not_speak_of_one() -> None:
    mail = render("receipt", {**sample_of("receipt"), "number": ""}, person="")

    assert mail.subject == "Receipt: Court 1"
    assert "Receipt:" not in mail.text


def test_what_does_not_go_out_by_a_channel_is_not_written_for_it() -> None:
    with pytest.raises(UnknownTemplate, match="by push"):
        render_push("receipt", sample_of("receipt"))


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
        ("booking_confirmed", {"currency": "JPY"}, "2,500 JPY"),
        ("booking_moved", {}, "It was to start on Sunday, 30 June 2030, 09:30."),
        ("booking_moved", {"was_local": ""}, "The price is the same"),
        ("booking_reminder", {}, "25.00 EUR is still to be paid."),
        ("booking_reminder", {"due_minor": 0}, "There is nothing left to pay."),
        ("venue_closed", {}, "will be closed at the time of your booking"),
        ("venue_open_again", {}, "Your booking is valid as before."),
        ("no_show_fee", {}, "A fee of 5.00 EUR was kept"),
        ("no_show_fee", NOT_PAID, "A fee of 5.00 EUR is to be paid"),
        ("refund_succeeded", {}, "Your refund of 20.00 EUR is on its way"),
        ("refund_elsewhere", {}, "you get it in another way"),
        ("refund_elsewhere", {"is_settled": True}, "You have got 20.00 EUR back"),
        ("booking_cancelled", {"by_venue": True}, "The venue had to cancel"),
        ("hold_expiring", {}, "kept for you until 22:15 (Europe/Berlin)."),
        ("venue_closed", {}, "and give back what you paid."),
        ("feedback_ready", {}, "Your coach has written feedback on this session"),
        ("feedback_ready", {}, "in the app, with your booking"),
        ("receipt", {}, "2030-000123"),
        ("receipt", {}, "25.00 EUR"),
        ("receipt", {}, "3.99 EUR (19 %)"),
        ("receipt", {"tax_rate": "7.70"}, "3.99 EUR (7.7 %)"),
        ("receipt", {"method": "CASH"}, "Cash"),
        ("receipt", {"method": "OTHER"}, "Another way"),
        ("receipt", {}, "Monday, 24 June 2030, 10:30 (Europe/Berlin)"),
        ("refund_promised", {}, "Parkstraße 1, 10115 Berlin"),
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


@pytest.mark.parametrize("name", MAILS)
@in_each_language
def test_what_people_typed_is_text_in_a_mail(name: str, locale: str) -> None:
    typed = {"title": EVIL, "venue_name": EVIL, "venue_address": EVIL}

    mail = render(name, {**sample_of(name), **typed}, person=EVIL, locale=locale)

    assert "eve.example" in mail.html
    assert "<a " not in mail.html
    # Greeting, fact and foot: as it was typed, but never a line of its own.
    assert mail.text.count(AS_TEXT) >= 3
    assert not any(line.startswith("Bcc:") for line in mail.text.splitlines())
    assert mail.subject == mail.subject.strip()
    assert mail.subject.isprintable()
    assert len(mail.subject) <= 200


def test_a_layout_that_does_not_escape_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill = rendering._fill
    monkeypatch.setattr(rendering, "_fill", lambda name, words, **_: fill(name, words))

    mail = render("booking_moved", {**FULL, "title": EVIL}, person="")

    assert "<a href='https://eve.example'>" in mail.html


def test_a_title_that_keeps_its_breaks_would_be_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wording, "_plain", lambda value: value)
    breaks = "Court 1\n\nBcc: eve@example.com\n\n"

    mail = render("booking_moved", {**FULL, "title": breaks}, person="")

    assert mail.text.count("Bcc: eve@example.com") > 0
    assert "Monday" not in mail.subject


@pytest.mark.parametrize("name", PUSHES)
@in_each_language
def test_what_people_typed_is_one_line_in_a_push(name: str, locale: str) -> None:
    typed = {"title": f"a\r\n{EVIL}", "venue_name": EVIL}

    push = render_push(name, {**sample_of(name), **typed}, locale)

    assert (push.title + push.body).isprintable()
    assert "a <a href=" in push.title


@pytest.mark.parametrize("name", ["می\u200cروم", "Ann 👩\u200d🚀"])
def test_names_keep_what_joins_their_letters(name: str) -> None:
    mail = render("booking_moved", FULL, person=f"{name}\u202e\u200b\u2028")

    assert f"Hello {name}," in mail.text
    assert f"Hello {name}," in mail.html


def test_a_long_title_does_not_make_a_long_subject() -> None:
    long = {**FULL, "title": "x" * 999}

    assert len(render("refund_delayed", long, person="").subject) == 200
    assert len(render_push("refund_delayed", long).title) == 100


@pytest.mark.parametrize("name", MAILS)
def test_what_one_may_not_choose_has_no_link_to_unsubscribe(name: str) -> None:
    mail = render(name, sample_of(name), person="", unsubscribe_url=LINK)

    is_offered = KINDS[name].is_optional
    assert (LINK in mail.html) is (LINK in mail.text) is is_offered


def test_without_a_link_nothing_is_said_of_unsubscribing() -> None:
    mail = render("booking_reminder", FULL, person="")

    assert "nsubscribe" not in mail.html + mail.text


@pytest.mark.parametrize("name", MAILS)
def test_mails_load_nothing_and_tell_nobody_that_they_are_read(name: str) -> None:
    html = render(name, sample_of(name), person="Alice").html

    for thing in ("http", "src=", "url(", "<img", "<link", "<script", "@import"):
        assert thing not in html


def test_a_mail_is_frozen_with_its_files_and_without_if_it_has_none() -> None:
    confirmed = render("booking_confirmed", FULL, person="").as_json()
    delayed = render("refund_delayed", FULL, person="").as_json()

    assert [each["filename"] for each in confirmed["attachments"]] == ["booking.ics"]
    assert set(delayed) == {"subject", "html", "text"}
