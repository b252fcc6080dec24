"""Many processes look after the same alerts: each is opened, told and closed once."""

from typing import Any

import pytest
from django.db import connection

from recovery import alerts, lookout, notices, severities
from recovery.models import Alert, AlertNotice, AuditEntry
from slotbase.lib.errors import InvalidState
from tests.concurrency.race import at_once, errors_in
from tests.factories import make_staff
from tests.recovery.alarm import Sink, make_due, report, sound
from tests.recovery.trouble import open_case

pytestmark = pytest.mark.django_db(transaction=True)

QUIET = severities.CONDITIONS["provider_down"].quiet
CROWD, ROUNDS = 6, 5


def actions() -> list[str]:
    entries = AuditEntry.objects.filter(subject_type="alert").order_by("id")
    return [entry.action for entry in entries]


def test_the_same_trouble_seen_by_many_at_once_is_one_alert() -> None:
    for number in range(ROUNDS):
        crowd = [lambda n=number: alerts.raise_alerts([report(n)])] * CROWD
        assert errors_in(at_once(crowd)) == []

    assert Alert.objects.count() == ROUNDS
    assert set(Alert.objects.values_list("occurrences", flat=True)) == {CROWD}
    assert actions() == ["alert.opened"] * ROUNDS


def test_batches_that_overlap_lose_nothing() -> None:
    batches = [[report(n) for n in range(first, first + 50)] for first in (0, 25, 10)]
    batches[1].reverse()

    outcomes = at_once([lambda b=b: alerts.raise_alerts(b) for b in batches])

    assert errors_in(outcomes) == []
    assert Alert.objects.count() == 75
    assert sum(Alert.objects.values_list("occurrences", flat=True)) == 150


@pytest.mark.breaks_invariants
def test_without_its_constraint_one_trouble_would_be_many_alerts() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX recovery_alert_once")
    try:
        for number in range(ROUNDS):
            crowd = [lambda n=number: alerts.raise_alerts([report(n)])] * CROWD
            at_once(crowd)
        assert Alert.objects.count() > ROUNDS
    finally:
        Alert.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE UNIQUE INDEX recovery_alert_once ON recovery_alert"
                " (fingerprint) WHERE NOT (status = 'RESOLVED')"
            )


def test_of_two_who_acknowledge_at_once_one_does() -> None:
    staff = [make_staff("support") for _ in range(2)]
    for number in range(ROUNDS):
        alert = sound(number)
        outcomes = at_once(
            [
                lambda a=alert, s=s: alerts.acknowledge(alert_id=a.pk, staff_id=s.pk)
                for s in staff
            ]
        )
        assert [type(error) for error in errors_in(outcomes)] == [InvalidState]

    assert actions().count("alert.acknowledged") == ROUNDS


def test_who_acknowledges_while_it_ends_leaves_it_over(clock: Any) -> None:
    bob = make_staff("support")
    for number in range(ROUNDS):
        alert = sound(number, "high")
        clock.move(minutes=3)
        at_once(
            [
                lambda a=alert: alerts.acknowledge(alert_id=a.pk, staff_id=bob.pk),
                lambda: alerts.resolve_quiet_alerts(
                    "provider_down",
                    QUIET,
                    limit=10,
                ),
            ]
        )
        alerts.resolve_quiet_alerts(
            "provider_down",
            QUIET,
            limit=10,
        )
        assert Alert.objects.get(pk=alert.pk).status == "RESOLVED"


def test_who_acknowledges_while_it_is_told_is_not_told_again(sink: Sink) -> None:
    bob = make_staff("support")
    for number in range(ROUNDS):
        alert = sound(number)
        at_once(
            [
                lambda a=alert: alerts.acknowledge(alert_id=a.pk, staff_id=bob.pk),
                notices.write_notices,
            ]
        )
        alert.refresh_from_db()
        assert (alert.status, alert.tell_at) == ("ACKED", None)


def test_many_who_look_and_tell_at_once_tell_once(sink: Sink) -> None:
    for number in range(ROUNDS):
        open_case(str(number))
        assert errors_in(at_once([lookout.look_and_tell] * CROWD)) == []
        make_due()
        lookout.look_and_tell()

    assert Alert.objects.count() == ROUNDS
    assert set(Alert.objects.values_list("occurrences", flat=True)) == {1}
    assert len(sink.taken()) == AlertNotice.objects.count() == ROUNDS


@pytest.mark.breaks_invariants
def test_without_the_right_to_write_notices_many_would_be_told_too_often(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "try_lock_writing", lambda: True)
    monkeypatch.setattr(
        notices, "lock_alerts_to_tell", lambda _: list(Alert.objects.all())
    )
    for number in range(ROUNDS):
        sound(number, "high")
        at_once([notices.write_notices] * CROWD)
        Alert.objects.all().delete()

    assert AlertNotice.objects.count() > ROUNDS
