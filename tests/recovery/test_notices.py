"""What is told of alerts: when, how often, and that each notice arrives once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from notifications.tasks import send_email
from recovery import alerts, lookout, notices, severities
from recovery.models import Alert, AlertNotice, Case, NoticeDelivery
from recovery.wording import Wording
from slotbase.lib.clock import Now
from tests.adversity import Clock
from tests.factories import make_customer, make_staff
from tests.notifications.conftest import queue
from tests.recovery.alarm import Sink, make_due, report, sound, tell
from tests.recovery.trouble import open_case

pytestmark = pytest.mark.django_db(transaction=True)
FLOOD = 10_000
CASES = """
INSERT INTO recovery_case (id, kind, fingerprint, status, severity, audience, title,
    reference, subject_type, subject_id, currency, cause, details, occurrences, due_at,
    closed_by, close_reason, evidence, version)
SELECT gen_random_uuid(), 'dead_letter', n::text, 'OPEN', 'critical', 'operations',
    'Trouble ' || n, '', 't', n::text, '', '', '{}', 1, slotbase_now(), '', '', '', 1
FROM generate_series(1, %s) n
"""
THEIR_HISTORY = """
INSERT INTO recovery_auditentry (actor_kind, actor_id, action, subject_type, subject_id,
    from_state, to_state, reason, request_id)
SELECT 'system', 'engine', 'case.opened', 'case', id::text, '', 'OPEN', '', ''
FROM recovery_case
"""


def acknowledge(alert: Alert) -> None:
    alerts.acknowledge(alert_id=alert.pk, staff_id=make_staff("support").pk)


def statuses() -> list[str]:
    return sorted(NoticeDelivery.objects.values_list("status", flat=True))


def tell_for(clock: Clock, *, minutes: int) -> None:
    """Minutes pass, in each of which somebody tells."""
    for _ in range(minutes):
        clock.move(minutes=1)
        tell()


# --- When --------------------------------------------------------------------------


def test_critical_is_told_at_once_and_every_15_minutes(
    sink: Sink, clock: Clock
) -> None:
    sound()
    tell()
    assert sink.titles() == ["[critical] Trouble 1"]

    tell_for(clock, minutes=14)
    assert len(sink.titles()) == 1
    tell_for(clock, minutes=32)

    assert sink.titles() == ["[critical] Trouble 1"] * 4


def test_an_acknowledged_alert_is_not_told_again(sink: Sink, clock: Clock) -> None:
    alert = sound()
    tell()
    acknowledge(alert)

    tell_for(clock, minutes=60)

    assert len(sink.titles()) == 1


def test_high_is_told_at_once_and_once(sink: Sink, clock: Clock) -> None:
    sound(severity="high")

    tell()
    tell_for(clock, minutes=60)

    assert sink.titles() == ["[high] Trouble 1"]


def test_medium_is_told_in_one_batch(sink: Sink, clock: Clock) -> None:
    for number in range(3):
        sound(number, "medium")
        tell_for(clock, minutes=5)

    tell_for(clock, minutes=30)

    assert sink.titles() == ["[medium] 3 alerts: 3 medium"]


def test_low_is_told_once_a_day_while_it_lasts(sink: Sink, clock: Clock) -> None:
    sound(1, "low")
    clock.move(hours=12)
    sound(2, "low")
    tell()
    assert sink.titles() == []

    clock.move(hours=12)
    tell()
    clock.move(hours=12)
    tell()
    clock.move(hours=13)
    tell()

    assert sink.titles() == ["[low] 2 alerts: 2 low"] * 2


def test_who_was_told_is_told_that_it_is_over(sink: Sink, clock: Clock) -> None:
    sound(severity="high")
    tell()
    clock.move(minutes=20)
    quiet = severities.CONDITIONS["provider_down"].quiet
    alerts.resolve_quiet_alerts("provider_down", quiet, limit=10)

    tell()
    tell_for(clock, minutes=60)

    assert sink.titles() == ["[high] Trouble 1", "[over] Trouble 1"]


def test_what_comes_and_goes_is_told_once_in_15_minutes(
    sink: Sink, clock: Clock
) -> None:
    quiet = severities.CONDITIONS["provider_down"].quiet
    for _ in range(15):
        sound(severity="high")
        tell()
        clock.move(minutes=3)
        alerts.resolve_quiet_alerts("provider_down", quiet, limit=10)
        tell()
        clock.move(minutes=1)

    assert len(sink.titles()) in {4, 5}  # in an hour


def test_without_channels_alerts_stand_in_the_back_office_alone(
    sink: Sink, settings: Any
) -> None:
    settings.ALERT_WEBHOOK_URL = ""
    sound()

    assert tell() == 0
    assert AlertNotice.objects.count() == 0
    assert Alert.objects.get().status == "OPEN"


def test_whoever_is_told_from_now_on_is_not_told_of_what_is_over(
    sink: Sink, settings: Any
) -> None:
    url, settings.ALERT_WEBHOOK_URL = settings.ALERT_WEBHOOK_URL, ""
    over = sound(1, "high")
    sound(2, "high")
    Alert.objects.filter(pk=over.pk).update(last_seen_at=Now() - timedelta(hours=1))
    quiet = severities.CONDITIONS["provider_down"].quiet
    alerts.resolve_quiet_alerts("provider_down", quiet, limit=10)
    tell()

    settings.ALERT_WEBHOOK_URL = url
    tell()

    assert sink.titles() == ["[high] Trouble 2"]


def test_a_notice_goes_to_the_webhook_and_to_all_addresses(both: Sink) -> None:
    sound()

    tell()

    (notice,) = both.taken()
    (mail,) = both.taken("resend")
    assert mail["to"] == ["ops@slotbase.example", "lead@slotbase.example"]
    assert mail["subject"] == notice["text"]
    assert mail["idempotency_key"].endswith(notice["id"])


def test_a_notice_links_alert_case_and_runbook(sink: Sink, settings: Any) -> None:
    settings.BACK_OFFICE_URL = "https://booking.example.com/"
    case = open_case()
    alerts.follow_cases()

    tell()

    (notice,) = sink.taken()
    (told,) = notice["alerts"]
    office = "https://booking.example.com/admin/"
    assert told["case"] == f"{office}recovery/case/{case.pk}/change/"
    assert told["alert"].startswith(f"{office}recovery/alert/")
    assert told["runbook"] == f"{office}runbooks/invariant_violation/"
    text = Wording(notice["text"], notice).text
    assert all(told[name] in text for name in ("alert", "case", "runbook"))


def test_no_notice_has_the_name_or_the_address_of_a_customer(
    both: Sink, settings: Any
) -> None:
    settings.NOTIFICATION_RETRY_SECONDS = []
    customer = make_customer("Zoe Canary", email="zoe.canary@example.org")
    queue(recipient=customer)
    both.fails("4xx", "resend", status=422)
    send_email()
    assert Case.objects.get().kind == "notification_undeliverable"
    lookout.look()
    Alert.objects.update(tell_at=Now())

    tell()

    told = f"{both.taken()} {both.taken('resend')} {list(Alert.objects.values())}"
    assert "notification_undeliverable" in told
    assert "canary" not in told.lower()


# --- Floods -------------------------------------------------------------------------


def flood(number: int) -> None:
    for start in range(0, number, alerts.BATCH):
        end = min(start + alerts.BATCH, number)
        alerts.raise_alerts([report(each, "high") for each in range(start, end)])


@pytest.mark.no_cover  # it does much, often
def test_a_flood_becomes_some_notices_and_one_summary(sink: Sink) -> None:
    flood(FLOOD)

    for _ in range(5):
        tell()

    # They are told from both ends of the queue.
    *singles, summary = sorted(sink.taken(), key=lambda notice: notice["number"])
    assert len(singles) == notices.MOST_SINGLE
    rest = FLOOD - notices.MOST_SINGLE
    assert summary["text"] == f"[high] {rest} alerts: {rest} high"
    assert summary["by_category"] == {"provider_down": rest}
    assert len(summary["alerts"]) == 20
    assert not Alert.objects.filter(told_at__isnull=True).exists()


def test_a_flood_that_goes_on_is_bounded_and_all_of_it_is_told(
    sink: Sink, clock: Clock
) -> None:
    for number in range(100):
        sound(number)  # critical: told again and again, too
        clock.move(seconds=6)
        tell()
    tell_for(clock, minutes=1)

    at = [each.created_at for each in AlertNotice.objects.order_by("created_at")]
    most = max(
        sum(1 for other in at if begin <= other < begin + timedelta(minutes=5))
        for begin in at
    )
    assert most <= 20
    assert len(sink.taken()) == len(at)
    assert not Alert.objects.filter(told_at__isnull=True).exists()


def test_without_the_cap_each_alert_of_a_flood_would_be_told(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "MOST_SINGLE", FLOOD)
    flood(100)

    tell()

    assert len(sink.taken()) == 100


def test_a_critical_alert_behind_a_flood_is_told_within_a_minute(
    sink: Sink, clock: Clock
) -> None:
    flood(200)
    tell()
    clock.move(seconds=10)
    sound(999, "critical")

    tell_for(clock, minutes=1)

    assert "Trouble 999" in str(sink.taken()[-1]["alerts"][0])


@pytest.mark.no_cover  # it does much, often
def test_10_000_critical_cases_have_their_alerts_in_one_look(sink: Sink) -> None:
    with connection.cursor() as cursor:
        cursor.execute(CASES, [FLOOD])
        cursor.execute(THEIR_HISTORY)

    lookout.look()

    assert Alert.objects.filter(severity="critical").count() == FLOOD
    assert AlertNotice.objects.count() == notices.MOST_SINGLE + 1


# --- Channels that are away ----------------------------------------------------------


@pytest.mark.parametrize("fault", ["5xx", "reset_after_effect", "malformed"])
def test_a_channel_down_for_an_hour_gets_all_in_the_end_and_nothing_twice(
    sink: Sink, clock: Clock, fault: str
) -> None:
    sink.fails(fault, count=None)
    for number in range(12):
        sound(number, "high")
        sink.trust()
        tell()
        clock.move(minutes=5)
        make_due()

    sink.works()
    make_due()
    tell()

    ids = [each["id"] for each in sink.taken()]
    assert len(ids) == len(set(ids)) == AlertNotice.objects.count()
    assert {f"[high] Trouble {number}" for number in range(12)} <= set(sink.titles())
    assert set(statuses()) == {"DONE"}


@pytest.mark.breaks_invariants
def test_under_a_new_id_at_each_attempt_it_would_arrive_twice(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slotbase.lib.ids import uuid7

    monkeypatch.setattr(
        notices,
        "post_notice",
        lambda notice: post({**notice, "id": str(uuid7())}),
    )
    from slotbase.providers.alerts.client import post_notice as post

    sink.fails("reset_after_effect")
    sound()
    tell()
    make_due()
    tell()

    assert sink.titles() == ["[critical] Trouble 1"] * 2


def test_a_receiver_that_takes_a_notice_and_hangs_has_it_once(sink: Sink) -> None:
    sink.fails("accept_then_hang")
    sound()

    tell()
    assert statuses() == ["PENDING"]
    make_due()
    tell()

    assert (sink.titles(), sink.calls()) == (["[critical] Trouble 1"], 2)
    assert statuses() == ["DONE"]


def test_a_webhook_that_fails_keeps_no_mail_back(both: Sink) -> None:
    both.fails("5xx", count=None)
    sound()

    tell()

    assert len(both.taken("resend")) == 1
    assert statuses() == ["DONE", "PENDING"]


def test_a_mail_whose_answer_is_lost_is_sent_once(both: Sink) -> None:
    both.fails("reset_after_effect", "resend")
    sound()
    tell()
    make_due()
    tell()

    assert (len(both.taken("resend")), both.calls("resend")) == (1, 2)


def test_a_wrong_address_is_a_case_and_its_notices_wait(sink: Sink) -> None:
    sink.fails("4xx", count=None, status=404)
    sound()
    tell()

    assert Case.objects.get().fingerprint == "provider_configuration:alerts"
    assert statuses() == ["PENDING"]
    sink.works()
    Case.objects.update(last_seen_at=Now() - timedelta(seconds=61))
    make_due()
    tell()

    assert sink.titles() == ["[critical] Trouble 1"]
    assert Case.objects.get().status == "RESOLVED"


def test_a_notice_that_is_refused_does_not_keep_others_back(sink: Sink) -> None:
    sink.fails("4xx", status=400)
    sound(1)
    tell()
    sound(2)
    tell()

    assert statuses() == ["DONE", "FAILED"]


def test_a_notice_that_nobody_took_for_20_hours_is_not_sent_any_more(
    sink: Sink, clock: Clock
) -> None:
    sink.fails("5xx", count=None)
    sound()
    tell()
    clock.move(hours=21)
    sink.works()
    Alert.objects.update(tell_at=None)
    make_due()

    tell()

    assert (sink.titles(), statuses()) == ([], ["EXPIRED"])


def test_old_notices_are_forgotten(sink: Sink, clock: Clock) -> None:
    sound(severity="high")
    tell()
    clock.move(days=91)

    assert notices.purge_old_notices(limit=10) == 1
    assert NoticeDelivery.objects.count() == 0


def test_nothing_is_told_by_two_who_write_at_once(sink: Sink) -> None:
    sound()
    assert [notices.write_notices(), notices.write_notices()] == [1, 0]
    assert AlertNotice.objects.count() == 1
