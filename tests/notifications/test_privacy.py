"""Names and addresses stand in the rows that can be emptied, and nowhere else."""

import json
import logging
from typing import Any

import pytest
from django.db import connection

from recovery.models import AuditEntry
from slotbase.accounts.services import profiles
from slotbase.lib.enqueue import _publisher
from tests.conftest import Sandbox
from tests.factories import make_customer
from tests.notifications.conftest import make_due, queue, send

pytestmark = pytest.mark.django_db(transaction=True)

CANARIES = ("Canaria", "tweety")
# Where they belong: the person, and the mail until it is emptied.
ERASABLE = {
    ("accounts_user", "name"),
    ("accounts_user", "email"),
    ("notifications_notification", "rendered"),
    ("notifications_notification", "address_snapshot"),
}


def places_of_canaries() -> set[tuple[str, str]]:
    """Every column of every table with one of them in it."""
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT to_jsonb(t) FROM "{table}" t')
            for (row,) in cursor.fetchall():
                values = json.loads(row) if isinstance(row, str) else row
                found |= {
                    (table, name)
                    for name, value in values.items()
                    if any(canary in str(value) for canary in CANARIES)
                }
    return found


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged, on any level."""
    return " ".join(f"{each.msg} {each.args}" for each in caplog.records)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ok", {}),
        ("4xx", {"status": 422}),
        ("4xx", {"status": 403}),
        ("4xx", {"status": 429}),
        ("5xx", {"status": 500}),
        ("reset_after_effect", {}),
        ("malformed", {}),
    ],
)
def test_whatever_happens_they_stay_where_they_can_be_erased(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    options: dict[str, Any],
) -> None:
    caplog.set_level(logging.DEBUG)
    tweety = make_customer("", clerk_id="user_x")
    sandbox.post(
        "/_sandbox/clerk/users",
        {"id": "user_x", "first_name": "Canaria", "email": "tweety@example.com"},
    )
    queue(tweety)
    profiles.fetch_profiles()
    told = {"provider": "resend", "operation": "emails.send", "fault": kind}
    sandbox.post("/_sandbox/faults", {**told, "count": 1, **options})

    send()
    make_due()
    send()

    assert AuditEntry.objects.exists()
    assert places_of_canaries() == ERASABLE
    assert not any(canary in said(caplog) for canary in CANARIES)
    assert not any(canary in str(_publisher._waiting) for canary in CANARIES)
    if kind != "ok":
        assert "attempt_failed" in said(caplog)


def test_a_canary_in_another_place_would_be_seen() -> None:
    message = queue()
    type(message).objects.update(last_error="tweety@example.com is not an address")

    assert ("notifications_notification", "last_error") in places_of_canaries()
