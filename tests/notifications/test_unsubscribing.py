"""The link in a mail works without a login, and only its button changes anything."""

from typing import Any

import pytest
from django.core.signing import Signer
from django.test import Client

from notifications import tokens
from notifications.kinds import KINDS, Topic
from notifications.models import Choice
from notifications.services import choices
from notifications.states import Channel
from recovery.models import AuditEntry
from slotbase.accounts.models import User
from tests.conftest import Sandbox
from tests.notifications.conftest import (
    CONTEXT,
    calls,
    mails,
    make_addressee,
    make_due,
    queue,
    send,
)

pytestmark = pytest.mark.django_db

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
OFFER = {
    "template": "waitlist_offered",
    "context": {**CONTEXT, "offered_until": "2030-07-01T09:00:00+00:00"},
}


@pytest.fixture(autouse=True)
def _address(settings: Any) -> None:
    settings.PUBLIC_URL = "https://booking.example.com/"


@pytest.fixture
def browser() -> Client:
    """One that insists on CSRF tokens, as the product does."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.fixture
def alice() -> User:
    return make_addressee(name="Alice Canaria", phone="+49 30 1234567")


def link(user: User, topic: Topic = Topic.REMINDERS) -> str:
    token = tokens.sign(tokens.Subscription(user.pk, topic, Channel.EMAIL))
    return f"/unsubscribe/{token}/"


def is_wanted(user: User, topic: Topic = Topic.REMINDERS) -> bool:
    return choices.wants(user_id=user.pk, topic=topic, channel=Channel.EMAIL)


def test_looking_at_the_page_changes_nothing(browser: Client, alice: User) -> None:
    for method in (browser.get, browser.head, browser.get):
        assert method(link(alice)).status_code == 200

    assert "No more reminders by email" in browser.get(link(alice)).content.decode()
    assert not Choice.objects.exists()


@pytest.mark.parametrize("topic", sorted(tokens.TOPICS))
def test_the_page_speaks_the_language_of_the_mails_to_somebody(
    browser: Client, topic: Topic
) -> None:
    of_hans = link(make_addressee(locale="de-AT"), topic)
    english = {"Accept-Language": "en"}
    of_the_topic = {
        Topic.REMINDERS: "Erinnerungen",
        Topic.WAITLIST: "Nachrichten zur Warteliste",
    }

    asked = browser.get(of_hans, headers=english).content.decode()
    gone = browser.post(of_hans, {"do": "x"}, headers=english).content.decode()

    assert '<html lang="de">' in asked
    assert f"Keine {of_the_topic[topic]} mehr per E-Mail</button>" in asked
    assert f"Sie erhalten keine {of_the_topic[topic]} mehr per E-Mail." in gone


@pytest.mark.parametrize(
    ("liked", "language", "heading"),
    [
        ("de-CH, de;q=0.9, en;q=0.8", "de", "Dieser Link funktioniert nicht"),
        ("fr, de;q=0.5", "de", "Dieser Link funktioniert nicht"),
        ("fr, en;q=0.5, de;q=0.4", "en", "This link does not work"),
        ("../de, \x00;q=x", "en", "This link does not work"),
        ("", "en", "This link does not work"),
    ],
)
def test_who_is_not_known_is_answered_in_the_language_of_the_browser(
    browser: Client, liked: str, language: str, heading: str
) -> None:
    answer = browser.get("/unsubscribe/x/", headers={"Accept-Language": liked})

    assert f'<html lang="{language}">' in answer.content.decode()
    assert f"<h1>{heading}</h1>" in answer.content.decode()


def test_the_button_unsubscribes_and_there_is_a_way_back(
    browser: Client, alice: User
) -> None:
    gone = browser.post(link(alice), {"do": "unsubscribe"})
    assert "You are unsubscribed" in gone.content.decode()
    assert not is_wanted(alice)
    assert is_wanted(alice, Topic.WAITLIST)

    back = browser.post(link(alice), {"do": "subscribe"})
    assert "You are subscribed again" in back.content.decode()
    assert is_wanted(alice)
    said = AuditEntry.objects.filter(subject_id=str(alice.pk)).order_by("id")
    assert list(said.values_list("action", "actor_kind", "reason")) == [
        ("user.unsubscribed", "customer", "Reminders by email. By the link in a mail."),
        ("user.subscribed", "customer", "Reminders by email. By the link in a mail."),
    ]


def test_a_mail_program_unsubscribes_with_one_click_and_again(
    browser: Client, alice: User
) -> None:
    for _ in range(2):
        answer = browser.post(link(alice), ONE_CLICK)
        assert answer.status_code == 200

    assert not is_wanted(alice)
    assert Choice.objects.count() == 1


def test_the_page_has_no_cookie_no_script_and_is_told_to_nobody(
    browser: Client, alice: User
) -> None:
    for answer in (browser.get(link(alice)), browser.post(link(alice), ONE_CLICK)):
        assert not answer.cookies
        assert "<script" not in answer.content.decode()
        assert "script-src" not in answer["Content-Security-Policy"]
        assert answer["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer["Referrer-Policy"] == "no-referrer"
        assert "noindex" in answer["X-Robots-Tag"]
        assert "no-store" in answer["Cache-Control"]


def test_neither_the_link_nor_the_page_tells_who_it_is(
    browser: Client, alice: User
) -> None:
    told = link(alice) + browser.get(link(alice)).content.decode()

    for private in ("Alice", "Canaria", "alice@example.com", "1234567"):
        assert private not in told
        assert private not in str(
            Signer(salt=tokens.SALT).unsign_object(link(alice)[13:-1])
        )


def test_a_link_that_was_not_made_here_changes_nothing(
    browser: Client, alice: User
) -> None:
    good = link(alice)
    other_salt = Signer(salt="x").sign_object([alice.pk.hex, "REMINDERS", "EMAIL"])
    bad = [
        good[:-2] + ("A" if good[-2] != "A" else "B") + "/",
        good[:13] + "x" + good[13:],
        f"/unsubscribe/{other_salt}/",
        "/unsubscribe/x/",
        "/unsubscribe/%00/",
        f"/unsubscribe/{'a' * 3000}/",
    ]

    for address in bad:
        for answer in (browser.get(address), browser.post(address, ONE_CLICK)):
            assert answer.status_code == 404, address
            assert "This link does not work" in answer.content.decode()
    assert not Choice.objects.exists()


def test_a_link_of_somebody_who_is_gone_does_not_work(browser: Client) -> None:
    answer = browser.post(link(User()), ONE_CLICK)

    assert answer.status_code == 404


def test_other_methods_are_refused(browser: Client, alice: User) -> None:
    for method in (browser.put, browser.patch, browser.delete):
        assert method(link(alice)).status_code == 405
    override = {"X-HTTP-Method-Override": "POST"}
    browser.get(link(alice), headers=override)
    assert is_wanted(alice)


def test_an_address_that_asks_too_often_waits(
    browser: Client, alice: User, settings: Any
) -> None:
    settings.THROTTLE_ADDRESS_PER_MINUTE = 2

    answers = [browser.post(link(alice), ONE_CLICK) for _ in range(3)]

    assert [each.status_code for each in answers][-1] == 429
    assert int(answers[-1]["Retry-After"]) >= 1


def test_reminders_and_offers_have_the_link_and_others_have_not(
    alice: User,
) -> None:
    linked = {
        name
        for name, kind in KINDS.items()
        if tokens.unsubscribe_url(kind=kind, user_id=alice.pk)
    }

    assert linked == {
        "hold_expiring",
        "booking_reminder",
        "waitlist_offered",
        "waitlist_lapsed",
    }


def test_without_our_address_there_is_no_link(alice: User, settings: Any) -> None:
    settings.PUBLIC_URL = ""

    kind = KINDS["waitlist_offered"]
    assert tokens.unsubscribe_url(kind=kind, user_id=alice.pk) == ""


def test_the_headers_are_frozen_with_the_mail_and_the_link_works(
    browser: Client, alice: User, sandbox: Sandbox, fault: Any, settings: Any
) -> None:
    message = queue(alice, **OFFER)
    fault("reset_after_effect")
    send()
    settings.SECRET_KEY = "another-key-" + "0123456789abcdef" * 4
    make_due()
    send()

    assert (calls(sandbox), len(mails(sandbox))) == (2, 1)
    message.refresh_from_db()
    assert message.status == "SENT"
    headers = message.rendered["headers"]
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    settings.SECRET_KEY_FALLBACKS = ["only-for-tests-" + "0123456789abcdef" * 4]
    url = headers["List-Unsubscribe"].strip("<>")
    assert url.startswith("https://booking.example.com/unsubscribe/")
    browser.post(url.removeprefix("https://booking.example.com"), ONE_CLICK)
    assert not is_wanted(alice, Topic.WAITLIST)


def test_a_mail_about_a_booking_has_no_such_headers(
    alice: User, sandbox: Sandbox
) -> None:
    message = queue(alice)
    send()

    message.refresh_from_db()
    assert "headers" not in message.rendered
