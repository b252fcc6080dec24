"""A mail is owed by the transaction that causes it, once."""

from typing import Any

import pytest
from django.db import ProgrammingError, connection, transaction

from notifications.errors import UnknownTemplate
from notifications.models import Notification
from notifications.services.messages import queue_message, withdraw
from notifications.services.retention import empty_old_mails
from slotbase.accounts.models import ProfileFetch
from slotbase.lib.db import NotInTransaction
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.conftest import (
    CONTEXT,
    let_time_pass,
    make_addressee,
    queue,
    send,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_key_twice_is_one_mail() -> None:
    alice = make_addressee()

    assert queue(alice).pk == queue(alice).pk

    assert Notification.objects.count() == 1


def test_the_same_key_at_once_is_one_mail() -> None:
    alice = make_addressee()

    outcomes = at_once([lambda: queue(alice)] * 6)

    assert errors_in(outcomes) == []
    assert Notification.objects.count() == 1


def test_what_is_rolled_back_owes_nothing() -> None:
    with transaction.atomic():
        queue(make_addressee())
        transaction.set_rollback(True)

    assert Notification.objects.count() == 0


def test_it_is_part_of_a_transaction() -> None:
    with pytest.raises(NotInTransaction):
        withdraw(dedupe_key="x")
    with pytest.raises(NotInTransaction):
        queue_message()


def test_nothing_is_withdrawn_where_nothing_is() -> None:
    with transaction.atomic():
        withdraw(dedupe_key="x")


@pytest.mark.parametrize(
    "changes",
    [
        {"template": "nothing"},
        {"context": {}},
        {"context": {**CONTEXT, "reference": ...}},
    ],
)
def test_a_mail_that_could_not_be_written_is_refused_at_once(
    changes: dict[str, Any],
) -> None:
    context = changes.get("context", CONTEXT)
    kept = {name: value for name, value in context.items() if value is not ...}

    with pytest.raises(UnknownTemplate):
        queue(**{**changes, "context": kept})


def test_whoever_has_no_address_is_asked_for() -> None:
    queue(make_addressee())
    assert ProfileFetch.objects.count() == 0

    nobody = make_customer(email="")
    queue(nobody)

    assert ProfileFetch.objects.get().user_id == nobody.pk


def test_text_and_address_are_gone_after_their_time(sandbox: Sandbox) -> None:
    sent, new = queue(), queue(make_addressee(), dedupe_key="new")
    send()
    let_time_pass(sent, hours=0)
    Notification.objects.filter(pk=sent.pk).update(
        created_at=sent.created_at.replace(year=sent.created_at.year - 1)
    )

    assert empty_old_mails(limit=10) == 1
    assert empty_old_mails(limit=10) == 0

    emptied = Notification.objects.get(pk=sent.pk)
    assert (emptied.rendered, emptied.address_snapshot) == (None, "")
    assert emptied.status == "SENT"
    assert Notification.objects.get(pk=new.pk).rendered is not None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE notifications_notificationattempt SET outcome = 'other'",
        "DELETE FROM notifications_notificationattempt",
        "TRUNCATE notifications_notificationattempt",
    ],
)
def test_attempts_are_added_and_never_changed(sandbox: Sandbox, statement: str) -> None:
    queue()
    send()

    with (
        pytest.raises(ProgrammingError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
