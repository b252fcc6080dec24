"""Back office: staff read every text in every language before anybody gets it."""

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from notifications.kinds import KINDS
from notifications.rendering import render
from notifications.samples import VARIANTS, sample_of
from notifications.states import Channel
from notifications.wording import list_languages
from tests.factories import make_staff, make_venue

pytestmark = pytest.mark.django_db

MAILS = [name for name, kind in KINDS.items() if Channel.EMAIL in kind.channels]


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(make_staff("front_desk", [make_venue()]))
    return client


def page(client: Client, name: str, language: str = "en") -> Any:
    return client.get(reverse("texts_of", args=[name, language]))


@pytest.mark.parametrize("language", list_languages())
def test_there_is_a_page_for_each_kind(desk: Client, language: str) -> None:
    for name, kind in KINDS.items():
        answer = page(desk, name, language)
        assert answer.status_code == 200
        for channel, key in ((Channel.EMAIL, "mail"), (Channel.PUSH, "push")):
            assert (answer.context[key] is not None) is (channel in kind.channels)


def test_the_page_shows_subject_text_and_push_beside_the_mail(desk: Client) -> None:
    body = page(desk, "booking_reminder", "de").content.decode()

    assert "Erinnerung: Court 1, Montag" in body
    assert "Noch zu zahlen: 25,00 EUR." in body
    assert reverse("text_of_mail", args=["booking_reminder", "de"]) in body
    assert "<iframe" in body
    assert " sandbox " in body


@pytest.mark.parametrize(
    ("name", "variant", "says"),
    [
        ("booking_cancelled", "by_venue", "The venue had to cancel"),
        ("booking_cancelled", "paid_out_at_venue", "20.00 EUR back at the venue"),
        ("booking_cancelled", "fee_due", "5.00 EUR is to be paid"),
        ("booking_cancelled", "in_dispute", "deciding about 25.00 EUR"),
        ("refund_elsewhere", "settled", "You have got 20.00 EUR back"),
        ("waitlist_lapsed", "by_closure", "was closed by the venue"),
    ],
)
def test_what_a_message_says_otherwise_is_a_click_away(
    desk: Client, name: str, variant: str, says: str
) -> None:
    usual, address = page(desk, name), f"?variant={variant}"
    assert says not in usual.context["mail"].text
    assert address in usual.content.decode()

    other = desk.get(reverse("texts_of", args=[name, "en"]) + address)

    assert says in other.context["mail"].text
    framed = other.context["frame"]
    assert f'src="{framed}"' in other.content.decode()
    assert says in desk.get(framed).content.decode()
    german = reverse("texts_of", args=[name, "de"]) + address
    assert german in other.content.decode()
    assert desk.get(german).status_code == 200


def test_every_variant_is_tried_and_says_something_else() -> None:
    for name, variants in VARIANTS.items():
        mails = {
            render(name, sample_of(name, each), person="").text
            for each in ("", *variants)
        }
        assert len(mails) == 1 + len(variants)


def test_a_kind_without_variants_offers_none(desk: Client) -> None:
    answer = page(desk, "booking_moved")

    assert 'aria-label="Variants"' not in answer.content.decode()
    for unknown in ("by_venue", "settled", "x"):
        address = reverse("texts_of", args=["booking_moved", "en"])
        assert desk.get(f"{address}?variant={unknown}").status_code == 404


def test_the_page_may_frame_our_own_and_run_nothing_else(desk: Client) -> None:
    policy = page(desk, "booking_reminder")["Content-Security-Policy"]

    assert policy.endswith("frame-src 'self'")
    assert "style-src 'self'" in policy
    assert "unsafe-inline" not in policy


def test_a_mail_has_a_policy_of_its_own(desk: Client) -> None:
    answer = desk.get(reverse("text_of_mail", args=["booking_reminder", "en"]))

    assert answer["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
    )
    assert answer["X-Frame-Options"] == "SAMEORIGIN"
    assert "Your booking is coming up." in answer.content.decode()


@pytest.mark.parametrize(
    ("name", "language"),
    [("nothing", "en"), ("booking_moved", "tlh"), ("booking_moved", "EN")],
)
def test_what_is_not_there_is_not_found(desk: Client, name: str, language: str) -> None:
    assert page(desk, name, language).status_code == 404
    mail = reverse("text_of_mail", args=[name, language])
    assert desk.get(mail).status_code == 404


def test_a_push_alone_has_no_mail(
    desk: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = replace(KINDS["booking_moved"], channels=(Channel.PUSH,))
    monkeypatch.setitem(KINDS, "booking_moved", only)  # type: ignore[arg-type]
    address = reverse("text_of_mail", args=["booking_moved", "en"])

    assert desk.get(address).status_code == 404
    assert "<iframe" not in page(desk, "booking_moved").content.decode()


def test_who_may_not_see_messages_sees_no_texts(client: Client) -> None:
    client.force_login(make_staff())

    assert page(client, "booking_moved").status_code == 403
    address = reverse("text_of_mail", args=["booking_moved", "en"])
    assert client.get(address).status_code == 403


def test_strangers_are_asked_to_log_in(client: Client) -> None:
    assert page(client, "booking_moved").status_code == 302


def test_the_list_of_messages_and_the_start_lead_there(desk: Client) -> None:
    for name in ("admin:notifications_notification_changelist", "admin:index"):
        body = desk.get(reverse(name)).content.decode()
        assert f'href="{reverse("texts")}"' in body
    assert desk.get(reverse("texts")).status_code == 200
