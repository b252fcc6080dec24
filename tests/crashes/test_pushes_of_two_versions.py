"""The version before knows mails alone, and takes whatever is due: it mails no push.

While a new version comes, and after it was taken back, its workers find the rows of
pushes. What they cannot write they leave to the version that can.
"""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from notifications.models import Notification
from notifications.services import pushing, sending
from recovery import rowqueue
from recovery.models import Case
from slotbase.providers.breaker import Breaker
from slotbase.providers.fcm import client as fcm
from slotbase.providers.resend import client as resend
from tests.conftest import Sandbox
from tests.crashes.previous_version import put_previous_version
from tests.notifications.conftest import mails, make_addressee, queue
from tests.notifications.pushes import (
    attempts,
    make_due,
    now_of,
    queue_push,
    register,
    sent,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(240)]

SEND = "import django; django.setup(); from notifications import tasks; "


@pytest.fixture(autouse=True)
def _closed_breakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcm, "breaker", Breaker("fcm"))
    monkeypatch.setattr(resend, "breaker", Breaker("resend"))


def let_the_version_before_send(folder: Path) -> None:
    """Its sweep, in a process of its own, on the database of the tests."""
    database = connection.settings_dict["NAME"]
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{database}")
    more = {
        "DATABASE_URL": address.geturl(),
        "DJANGO_SETTINGS_MODULE": "slotbase.settings",
    }
    subprocess.run(
        [sys.executable, "-c", f"{SEND}tasks.send_email()"],
        env={**os.environ, **more},
        cwd=folder,
        check=True,
    )


def queue_both() -> tuple[Notification, Notification]:
    """A mail and a push that say the same."""
    alice = make_addressee()
    push = queue_push(register(alice), dedupe_key="said")
    return queue(alice, dedupe_key="said"), push


def test_the_version_before_sends_the_mail_and_leaves_the_push(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    mail, push = queue_both()

    let_the_version_before_send(put_previous_version(tmp_path))

    assert now_of(mail).status == "SENT"
    assert now_of(push).status == "PENDING"
    assert len(mails(sandbox)) == 1
    make_due()
    pushing.send_due()
    assert now_of(push).status == "SENT"
    assert (len(mails(sandbox)), len(sent(sandbox))) == (1, 1)


def test_who_takes_all_that_is_due_makes_no_mail_of_a_push_until_it_is_pointless(
    sandbox: Sandbox,
) -> None:
    """As the version before does, also after a rollback when it works alone."""
    mail, push = queue_both()

    rowqueue.run_due(sending.QUEUE)
    for _ in range(5):
        make_due()
        rowqueue.run_due(sending.QUEUE)

    assert (now_of(mail).status, now_of(push).status) == ("SENT", "PENDING")
    make_due(not_after=now_of(push).created_at)
    rowqueue.run_due(sending.QUEUE)
    assert now_of(push).status == "EXPIRED"
    assert (len(mails(sandbox)), attempts(push)) == (1, [])
    assert Case.objects.count() == 0


def test_without_the_empty_text_it_would_be_mailed(sandbox: Sandbox) -> None:
    """The positive control: a row that nobody has written yet becomes a mail."""
    _, push = queue_both()
    Notification.objects.filter(pk=push.pk).update(rendered=None)

    rowqueue.run_due(sending.QUEUE)

    assert len(mails(sandbox)) == 2
