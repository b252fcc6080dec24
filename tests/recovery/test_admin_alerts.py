"""Back office: alerts are seen by everybody who must know, and acknowledged there."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from recovery import alerts, banner
from recovery.models import Alert, AlertNotice
from recovery.severities import CONDITIONS
from slotbase.accounts.models import User
from tests.factories import make_staff
from tests.recovery.alarm import Sink, sound, tell
from tests.recovery.trouble import open_case

pytestmark = pytest.mark.django_db(transaction=True)

ALERTS = reverse("admin:recovery_alert_changelist")
SIREN = 'class="siren"'


@pytest.fixture
def bob() -> User:
    return make_staff("support", name="Bob Baker")


@pytest.fixture
def supporter(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def page_of(alert: Alert) -> str:
    return reverse("admin:recovery_alert_change", args=[alert.pk])


def acknowledge(client: Client, alert: Alert) -> Any:
    return client.post(page_of(alert), {"do": "acknowledge"})


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_list_shows_the_worst_first_and_only_what_is_not_over(
    supporter: Client,
) -> None:
    sound(1, "low")
    sound(2, "critical")
    sound(3, "medium")
    over = sound(4, "high")
    Alert.objects.filter(pk=over.pk).update(last_seen_at="2020-01-01T00:00:00Z")
    alerts.resolve_quiet_alerts(
        "provider_down", CONDITIONS["provider_down"].quiet, limit=10
    )

    shown = list(supporter.get(ALERTS).context["cl"].result_list)
    assert [alert.title for alert in shown] == ["Trouble 2", "Trouble 3", "Trouble 1"]
    history = list(supporter.get(f"{ALERTS}?state=over").context["cl"].result_list)
    assert [alert.title for alert in history] == ["Trouble 4"]


def test_a_page_shows_case_runbook_and_what_happens_by_itself(
    supporter: Client,
) -> None:
    case = open_case()
    alerts.follow_cases()

    page = text(supporter.get(page_of(Alert.objects.get())))

    assert reverse("admin:recovery_case_change", args=[case.pk]) in page
    assert "/admin/runbooks/invariant_violation/" in page
    assert "the case closes itself when the check is clean again" in page


@pytest.mark.parametrize("group", ["support", "support_lead", "operations"])
def test_who_is_on_call_acknowledges(client: Client, group: str) -> None:
    person = make_staff(group)
    client.force_login(person)
    alert = sound()

    assert acknowledge(client, alert).status_code == 302

    alert.refresh_from_db()
    assert (alert.status, alert.acked_by) == ("ACKED", person)
    assert "acknowledge" not in client.get(page_of(alert)).context["row_actions"]


@pytest.mark.parametrize("group", ["auditor", "front_desk", "manager"])
def test_others_do_not_acknowledge(client: Client, group: str) -> None:
    client.force_login(make_staff(group))
    alert = sound()

    assert acknowledge(client, alert).status_code in {302, 403}

    alert.refresh_from_db()
    assert alert.status == "OPEN"
    may_look = group == "auditor"
    assert (client.get(page_of(alert)).status_code == 200) == may_look


def test_who_comes_second_is_told_so(supporter: Client) -> None:
    alert = sound()
    alerts.acknowledge(alert_id=alert.pk, staff_id=make_staff("support").pk)

    answer = acknowledge(supporter, alert)

    assert answer.status_code == 409
    assert "It is ACKED" in answer.content.decode()


def test_a_critical_alert_is_on_every_page_until_somebody_acknowledges(
    supporter: Client,
) -> None:
    start = reverse("admin:index")
    assert SIREN not in text(supporter.get(start))
    alert = sound(title="I1 is broken")
    sound(2)
    sound(3, "high")
    banner.forget()

    page = text(supporter.get(start))
    assert SIREN in page
    assert "and 1 more" in page
    acknowledge(supporter, alert)
    acknowledge(supporter, Alert.objects.get(title="Trouble 2"))

    assert SIREN not in text(supporter.get(start))


def test_who_may_not_see_alerts_has_no_banner(client: Client) -> None:
    client.force_login(make_staff("front_desk"))
    sound()
    banner.forget()

    assert SIREN not in text(client.get(reverse("admin:index")))


def test_the_banner_is_asked_for_once_in_some_seconds(
    supporter: Client, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banner, "SECONDS", 5)
    sound()
    banner.forget()
    banner.glance()

    with django_assert_num_queries(0):
        for _ in range(10):
            assert banner.glance().number == 1


def test_notices_show_what_was_told_and_by_which_channel(
    supporter: Client, both: Sink
) -> None:
    both.fails("5xx", count=None)
    sound()
    tell()
    notice = AlertNotice.objects.get()

    page = text(supporter.get(reverse("admin:recovery_alertnotice_changelist")))
    assert "mail done, webhook pending" in page
    address = reverse("admin:recovery_alertnotice_change", args=[notice.pk])
    assert "Trouble 1" in text(supporter.get(address))
