"""Two workers at one mail, and a mail that is withdrawn while it is being sent."""

import threading
from typing import Any

import pytest
from django.db import transaction

from notifications.models import Notification
from notifications.services import sending
from notifications.services.messages import withdraw
from notifications.tasks import send_email
from recovery import locks, rowqueue
from slotbase.lib.clock import read_clock
from tests.concurrency.race import at_once, errors_in
from tests.conftest import Sandbox
from tests.notifications.conftest import mails, make_addressee, queue

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 5


def test_one_mail_asked_for_three_times_at_once_is_sent_once(
    sandbox: Sandbox,
) -> None:
    for number in range(ROUNDS):
        queue(make_addressee(), dedupe_key=str(number))

        outcomes = at_once([send_email] * 3)

        assert errors_in(outcomes) == []
    assert len(mails(sandbox)) == ROUNDS
    assert set(Notification.objects.values_list("status", flat=True)) == {"SENT"}


@pytest.mark.breaks_invariants
def test_without_lease_and_key_it_would_be_sent_more_often(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positive control: the claim without its lock, the call without its key."""
    careless = locks._CLAIM.replace("FOR UPDATE SKIP LOCKED", "").replace(
        "AND (lease_until IS NULL OR lease_until <= (SELECT slotbase_now()))", ""
    )
    monkeypatch.setattr(locks, "_CLAIM", careless)
    monkeypatch.setattr(sending, "key_of", lambda _: threading.get_ident())
    monkeypatch.setattr(
        sending, "lock_leased", lambda row: Notification.objects.get(pk=row.pk)
    )
    barrier = threading.Barrier(3, timeout=10)
    prepare = sending._prepare

    def meet_and_prepare(row: Any) -> Any:
        barrier.wait()
        return prepare(row)

    monkeypatch.setattr(sending, "_prepare", meet_and_prepare)
    queue()

    def work() -> None:
        row = rowqueue._claim(sending.QUEUE, {}, due_before=read_clock())
        assert row is not None
        sending._send(row)

    assert errors_in(at_once([work] * 3)) == []

    assert len(mails(sandbox)) > 1


def test_sent_or_withdrawn_but_never_both(sandbox: Sandbox) -> None:
    for number in range(ROUNDS):
        message = queue(make_addressee(), dedupe_key=str(number))

        def give_up(key: str = message.dedupe_key) -> None:
            with transaction.atomic():
                withdraw(dedupe_key=key)

        assert errors_in(at_once([send_email, give_up])) == []
    sent = Notification.objects.filter(status="SENT").count()
    cancelled = Notification.objects.filter(status="CANCELLED").count()
    assert sent + cancelled == ROUNDS
    assert len(mails(sandbox)) == sent
