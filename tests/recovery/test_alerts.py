"""Alerts: one for each trouble, acknowledged by a person, over by itself."""

from typing import Any

import pytest

from recovery import alerts, cases, severities
from recovery.models import Alert, AuditEntry, Case, OutboxEvent
from recovery.states import CaseSeverity
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import InvalidState, NotFound
from slotbase.lib.ids import uuid7
from tests.adversity import Clock
from tests.factories import make_staff
from tests.recovery.alarm import report, sound
from tests.recovery.trouble import open_case

pytestmark = pytest.mark.django_db(transaction=True)


@retry_on_conflict
def close(case: Case) -> None:
    cases.close_by_itself(case.fingerprint, "It is over.")


def actions() -> list[str]:
    entries = AuditEntry.objects.filter(subject_type="alert").order_by("id")
    return [entry.action for entry in entries]


def the_alert() -> Alert:
    return Alert.objects.get()


def acknowledge(alert: Alert) -> Any:
    bob = make_staff("support")
    alerts.acknowledge(alert_id=alert.pk, staff_id=bob.pk)
    return bob


def test_the_same_trouble_is_counted_in_its_alert() -> None:
    sound()
    sound(times=3)

    assert (the_alert().occurrences, the_alert().status) == (4, "OPEN")
    assert actions() == ["alert.opened"]


def test_many_are_raised_at_once_known_and_new() -> None:
    sound(1)

    alerts.raise_alerts([report(number) for number in range(5)])

    assert Alert.objects.count() == 5
    assert actions() == ["alert.opened"] * 5


def test_an_alert_is_told_as_an_event() -> None:
    alert = sound()

    event = OutboxEvent.objects.get()
    assert (event.type, event.subject_id) == ("recovery.alert_raised", str(alert.pk))
    assert event.data == {"category": "payment_mismatch", "severity": "critical"}


def test_who_acknowledges_stands_in_the_alert_and_its_history() -> None:
    bob = acknowledge(sound())

    assert (the_alert().status, the_alert().acked_by) == ("ACKED", bob)
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.actor_id) == ("alert.acknowledged", str(bob.pk))


def test_an_alert_is_acknowledged_once() -> None:
    acknowledge(sound())

    with pytest.raises(InvalidState):
        acknowledge(the_alert())


def test_an_alert_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        alerts.acknowledge(alert_id=uuid7(), staff_id=uuid7())


def test_an_acknowledged_alert_that_is_seen_again_stays_so() -> None:
    acknowledge(sound())
    sound()

    assert (the_alert().status, the_alert().tell_at) == ("ACKED", None)


def test_what_is_not_seen_any_more_is_over(clock: Clock) -> None:
    category = severities.CONDITIONS["provider_down"]
    sound(severity="high")
    alerts.resolve_quiet_alerts("provider_down", category.quiet, limit=10)
    assert the_alert().status == "OPEN"

    clock.move(minutes=3)
    alerts.resolve_quiet_alerts("provider_down", category.quiet, limit=10)

    assert (the_alert().status, actions()[-1]) == ("RESOLVED", "alert.resolved")


def test_what_comes_back_within_a_day_is_the_same_alert(clock: Clock) -> None:
    first = sound(severity="high")
    acknowledge(first)
    clock.move(minutes=3)
    alerts.resolve_quiet_alerts(
        "provider_down", severities.CONDITIONS["provider_down"].quiet, limit=10
    )

    again = sound(severity="high")

    assert (again.pk, again.status) == (first.pk, "OPEN")
    assert (again.acked_by, again.resolved_at) == (None, None)
    assert actions()[-1] == "alert.reopened"


def test_what_comes_back_after_a_day_is_a_new_alert(clock: Clock) -> None:
    first = sound(severity="high")
    clock.move(minutes=3)
    alerts.resolve_quiet_alerts(
        "provider_down", severities.CONDITIONS["provider_down"].quiet, limit=10
    )
    clock.move(hours=25)

    assert sound(severity="high").pk != first.pk


def test_every_open_case_has_an_alert_as_severe_as_it_is() -> None:
    case = open_case()
    worse = open_case(
        "refund", kind="refund_failure", severity=CaseSeverity.CRITICAL, title="No"
    )

    alerts.follow_cases()
    alerts.follow_cases()

    found = {alert.case_id: alert for alert in Alert.objects.all()}
    assert set(found) == {case.pk, worse.pk}
    assert found[case.pk].title == case.title
    assert {alert.severity for alert in found.values()} == {"critical"}
    assert found[worse.pk].audience == "support"


def test_the_alert_of_a_closed_case_is_over_and_comes_back_with_it() -> None:
    case = open_case()
    alerts.follow_cases()
    close(case)
    alerts.follow_cases()
    assert the_alert().status == "RESOLVED"

    open_case()
    alerts.follow_cases()

    assert (the_alert().status, the_alert().case_id) == ("OPEN", case.pk)


def test_the_alert_of_an_open_case_is_never_over_because_it_is_quiet(
    clock: Clock,
) -> None:
    open_case()
    alerts.follow_cases()
    clock.move(hours=5)

    for category in severities.categories():
        alerts.resolve_quiet_alerts(category.name, category.quiet, limit=10)

    assert the_alert().status == "OPEN"


def test_alerts_that_are_long_over_are_forgotten_and_open_ones_kept(
    clock: Clock,
) -> None:
    case = open_case()
    alerts.follow_cases()
    close(case)
    alerts.follow_cases()
    kept = sound()
    clock.move(days=91)

    assert alerts.purge_old_alerts(limit=10) == 1
    assert the_alert() == kept


def test_every_category_fits_its_columns_and_says_what_staff_need_to_know() -> None:
    found = list(severities.categories())

    assert {"dead_letter", "beat_silent"} <= {each.name for each in found}
    for each in found:
        assert len(each.name) <= 32
        assert len(each.audience) <= 16
        assert each.opened_when
        assert each.by_itself
