"""What people choose to hear of: kept, followed, and never for money."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from notifications.kinds import ALWAYS, Topic
from notifications.models import Choice, Notification
from notifications.services import choices, sending
from notifications.services.messages import queue_message
from notifications.states import NOT_WANTED, Channel, NotificationStatus
from recovery import audit
from recovery.models import AuditEntry, Case
from slotbase.accounts.models import User
from slotbase.lib.errors import ValidationFailed
from tests.bookings.document import check_against_document
from tests.bookings.refusals import read_problem
from tests.bookings.routes import client_of
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.conftest import (
    CONTEXT,
    mails,
    make_addressee,
    make_device,
    make_due,
    queue,
    send,
    suppress,
)

pytestmark = pytest.mark.django_db

PAGE = "/api/v1/me/notifications/"


def choose(user: User, **over: Any) -> None:
    wish = {"topic": Topic.WAITLIST, "channel": Channel.EMAIL, "is_wanted": False}
    actor = audit.Actor.customer(user.pk)
    choices.choose(user_id=user.pk, actor=actor, **{**wish, **over})


def channels_of(user: User) -> list[str]:
    found = Notification.objects.filter(recipient=user).order_by("channel")
    return list(found.values_list("channel", flat=True))


def queue_offer(user: User) -> None:
    with transaction.atomic():
        queue_message(
            recipient_id=user.pk,
            template="waitlist_offered",
            context={**CONTEXT, "offered_until": CONTEXT["start_time"]},
            dedupe_key=f"offer:{user.pk}",
            subject_type="booking",
            subject_id="1",
        )


def test_who_says_nothing_hears_of_everything_by_every_channel() -> None:
    alice = make_addressee()
    make_device(alice)

    queue_offer(alice)

    assert channels_of(alice) == ["EMAIL", "PUSH"]


def test_a_channel_that_is_not_wanted_is_left_out() -> None:
    alice = make_addressee()
    make_device(alice)
    choose(alice)

    queue_offer(alice)

    assert channels_of(alice) == ["PUSH"]


def test_other_topics_and_other_people_are_not_concerned() -> None:
    alice, bob = make_addressee(), make_addressee(email="bob@example.com")
    choose(alice)

    queue(alice)
    queue_offer(bob)

    assert channels_of(alice) == ["EMAIL"]
    assert channels_of(bob) == ["EMAIL"]


def test_a_choice_can_be_taken_back_and_each_leaves_its_history_once() -> None:
    alice = make_addressee()

    for is_wanted in (False, False, True):
        choose(alice, is_wanted=is_wanted)
    queue_offer(alice)

    assert channels_of(alice) == ["EMAIL"]
    said = AuditEntry.objects.filter(subject_type="user", subject_id=str(alice.pk))
    assert list(said.order_by("id").values_list("action", "reason")) == [
        ("user.unsubscribed", "Waitlist by email."),
        ("user.subscribed", "Waitlist by email."),
    ]


def test_a_choice_since_it_was_queued_counts_when_it_is_sent(sandbox: Sandbox) -> None:
    alice = make_addressee()
    queue_offer(alice)
    choose(alice)

    send()

    message = Notification.objects.get(recipient=alice)
    assert (message.status, message.next_run_at) == (
        NotificationStatus.SUPPRESSED,
        None,
    )
    last = AuditEntry.objects.filter(subject_id=str(message.pk)).order_by("id").last()
    assert last is not None
    assert (last.to_state, last.reason) == ("SUPPRESSED", NOT_WANTED)
    assert (mails(sandbox), Case.objects.count()) == ([], 0)


def test_what_may_have_gone_out_before_the_choice_is_found_out(
    sandbox: Sandbox, fault: Callable[..., None]
) -> None:
    """Whoever stopped it would never know."""
    alice = make_addressee()
    queue_offer(alice)
    fault("reset_after_effect")
    send()
    choose(alice)
    make_due()

    send()

    assert Notification.objects.get(recipient=alice).status == NotificationStatus.SENT
    assert len(mails(sandbox)) == 1


def test_without_the_look_before_sending_it_would_go_out(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = make_addressee()
    queue_offer(alice)
    choose(alice)
    monkeypatch.setattr(sending, "is_wanted_still", lambda _: True)

    send()

    assert len(mails(sandbox)) == 1


@pytest.mark.parametrize("topic", sorted(ALWAYS))
def test_of_money_and_cancellations_everybody_is_told(topic: Topic) -> None:
    with pytest.raises(ValidationFailed, match="money and cancellations"):
        choose(make_customer(), topic=topic)


def test_not_even_a_row_could_say_otherwise() -> None:
    alice = make_customer()

    with pytest.raises(IntegrityError), transaction.atomic():
        Choice.objects.create(
            user=alice, topic=Topic.MONEY, channel=Channel.EMAIL, is_wanted=False
        )


# --- Over HTTP ------------------------------------------------------------------


@pytest.fixture
def alice() -> User:
    return make_addressee()


@pytest.fixture
def api(alice: User) -> APIClient:
    return client_of(alice)


def wanted(answer: Any) -> dict[str, dict[str, bool]]:
    return {
        topic["topic"]: {
            each["channel"]: each["is_wanted"] for each in topic["channels"]
        }
        for topic in answer.json()["topics"]
    }


def test_a_customer_sees_all_topics_and_which_of_them_are_fixed(
    api: APIClient, alice: User
) -> None:
    make_device(alice)
    ended = {"status": "REVOKED", "ended_at": alice.created_at}
    make_device(alice, **ended)

    answer = api.get(PAGE)

    check_against_document(answer)
    body = answer.json()
    fixed = {each["topic"] for each in body["topics"] if not each["can_be_changed"]}
    assert fixed == {"MONEY", "CANCELLATIONS"}
    assert all(bool(each["why"]) != each["can_be_changed"] for each in body["topics"])
    assert {(*each.values(),) for each in wanted(answer).values()} == {(True, True)}
    assert (body["email"], body["devices"]) == ({"works": True, "why": None}, 1)


def test_a_customer_chooses_one_thing_at_a_time(api: APIClient) -> None:
    wish = {"topic": "WAITLIST", "channel": "PUSH", "is_wanted": False}

    answer = api.patch(PAGE, wish, "json")

    check_against_document(answer)
    assert wanted(answer)["WAITLIST"] == {"EMAIL": True, "PUSH": False}
    assert wanted(api.get(PAGE)) == wanted(answer)
    assert wanted(client_of(make_customer()).get(PAGE))["WAITLIST"]["PUSH"]


@pytest.mark.parametrize(
    ("over", "field"),
    [
        ({"topic": "MONEY"}, "topic"),
        ({"topic": "CANCELLATIONS"}, "topic"),
        ({"topic": "reminders"}, "topic"),
        ({"topic": None}, "topic"),
        ({"topic": []}, "topic"),
        ({"channel": "SMS"}, "channel"),
        ({"is_wanted": "off"}, "is_wanted"),
        ({"is_wanted": 0}, "is_wanted"),
        ({"is_wanted": None}, "is_wanted"),
        ({"is_wanted": {}}, "is_wanted"),
        ({"user": "1"}, "user"),
        ({"changed_at": "2030-01-01T00:00Z"}, "changed_at"),
    ],
)
def test_what_cannot_be_chosen_is_refused_by_its_name(
    api: APIClient, over: dict[str, Any], field: str
) -> None:
    wish = {"topic": "REMINDERS", "channel": "EMAIL", "is_wanted": False}

    answer = api.patch(PAGE, {**wish, **over}, "json")

    assert [*read_problem(answer, 400, "validation_error")["errors"]] == [field]
    assert not Choice.objects.exists()


@pytest.mark.parametrize("missing", ["topic", "channel", "is_wanted"])
def test_nothing_is_guessed(api: APIClient, missing: str) -> None:
    wish: dict[str, Any] = {
        "topic": "REMINDERS",
        "channel": "EMAIL",
        "is_wanted": False,
    }
    del wish[missing]

    answer = api.patch(PAGE, wish, "json")

    assert [*read_problem(answer, 400, "validation_error")["errors"]] == [missing]


def test_a_stranger_is_asked_to_sign_in() -> None:
    read_problem(APIClient().get(PAGE), 401, "token_missing")
    read_problem(APIClient().patch(PAGE, {}, "json"), 401, "token_missing")


def test_a_customer_is_told_that_mails_come_back(api: APIClient, alice: User) -> None:
    suppress(alice, address=" Alice@Example.com")
    assert api.get(PAGE).json()["email"] == {"works": False, "why": "bounced"}

    User.objects.filter(pk=alice.pk).update(email="other@example.com")
    other = client_of(User.objects.get(pk=alice.pk)).get(PAGE)
    assert other.json()["email"] == {"works": True, "why": None}

    User.objects.filter(pk=alice.pk).update(email="")
    without = client_of(User.objects.get(pk=alice.pk)).get(PAGE)
    assert without.json()["email"] == {"works": False, "why": "no_address"}
