"""Back office: webhooks that failed are replayed or ignored, with what they say."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from recovery import cases, inbox
from recovery.models import AuditEntry, Case, InboxEvent
from recovery.states import InboxStatus
from slotbase.accounts.models import User
from slotbase.lib.clock import read_clock
from tests.factories import make_staff
from tests.recovery.trouble import TYPE, fail_webhook, open_case, store_webhook

pytestmark = pytest.mark.django_db

FAILURES = reverse("admin:recovery_webhookfailure_changelist")
WEBHOOKS = reverse("admin:recovery_inboxevent_changelist")
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def sue() -> User:
    return make_staff("support", name="Sue Song")


@pytest.fixture
def support(client: Client, sue: User) -> Client:
    client.force_login(sue)
    return client


@pytest.fixture
def auditor() -> Client:
    auditor = Client()
    auditor.force_login(make_staff("auditor"))
    return auditor


@pytest.fixture
def handle() -> Iterator[Callable[..., None]]:
    """The cause is gone: such webhooks can be processed from now on."""
    handler = inbox.Handler("stripe", frozenset({TYPE}), apply=lambda *_: None)
    yield lambda: inbox.register(handler)
    inbox.unregister(handler)


def page_of(case: Any) -> str:
    return reverse("admin:recovery_webhookfailure_change", args=[case.pk])


def page_of_webhook(event: InboxEvent) -> str:
    return reverse("admin:recovery_inboxevent_change", args=[event.pk])


def press(client: Client, address: str, button: str, **typed: Any) -> Any:
    case = Case.objects.first()
    sent = {"version": case.version if case else 0, **typed}
    return client.post(address, {"do": button, **sent})


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def buttons(client: Client, address: str) -> list[str]:
    return list(client.get(address).context["row_actions"])


def shown(client: Client, address: str, **query: str) -> list[Any]:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        shown(client, address)
    return len(captured)


def the_event() -> InboxEvent:
    return InboxEvent.objects.get()


# --- Webhook failures ---------------------------------------------------------


def test_the_list_has_only_webhooks_and_says_what_failed(support: Client) -> None:
    failure = fail_webhook("evt_77")
    open_case("another kind")

    assert [each.pk for each in shown(support, FAILURES)] == [failure.pk]
    page = text(support, FAILURES)
    for words in ("evt_77", "stripe", TYPE, "ValueError in tests.recovery.trouble"):
        assert words in page, words


def test_more_failures_cost_no_more_queries(support: Client) -> None:
    fail_webhook("evt_0")
    few = queries(support, FAILURES)
    for number in range(1, 6):
        fail_webhook(f"evt_{number}")

    assert queries(support, FAILURES) == few <= 12


def test_a_page_shows_the_payload_readably(support: Client) -> None:
    page = text(support, page_of(fail_webhook()))

    assert "&quot;object&quot;: {\n    &quot;amount&quot;: 1200" in page
    assert page_of_webhook(the_event()) in page


def test_who_only_looks_does_not_see_payloads(auditor: Client) -> None:
    failure = fail_webhook()

    for address in (page_of(failure), page_of_webhook(the_event())):
        page = text(auditor, address)
        assert "evt_1" in page
        assert "&quot;amount&quot;" not in page
        assert "payload" not in page.lower()


PERSONAL = {
    "data": {
        "object": {
            "id": "pi_1",
            "amount": 1200,
            "receipt_email": "alice@example.com",
            "billing_details": {"name": "Alice Adler", "phone": "+49 30 123"},
            "metadata": {"note": "for Alice", "customer": "Alice"},
        },
        "addresses": ["Alice Lane 1"],
    }
}


def test_operations_see_what_came_and_of_nobody_who_it_is(
    support: Client,
) -> None:
    failure, client = fail_webhook(payload=PERSONAL), Client()
    client.force_login(make_staff("operations"))

    for address in (page_of(failure), page_of_webhook(the_event())):
        page = text(client, address)
        assert "pi_1" in page
        assert "1200" in page
        assert "receipt_email" in page
        for personal in ("alice@example.com", "Alice", "+49 30 123"):
            assert personal not in page
        # Who may see contact data sees it here, too, once they ask for it.
        assert "alice@example.com" not in text(support, address)
        shown = support.post(address, {"do": "show_contact_data"}).content.decode()
        assert "alice@example.com" in shown


def test_what_providers_send_is_shown_as_text(support: Client) -> None:
    failure = fail_webhook(EVIL, type=EVIL, payload={EVIL: EVIL})

    for address in (
        *(FAILURES, WEBHOOKS, page_of(failure), page_of_webhook(the_event())),
    ):
        page = text(support, address)
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page.lower()


def test_a_payload_that_is_gone_is_no_error(support: Client) -> None:
    failure = fail_webhook()
    InboxEvent.objects.update(payload=None)

    for address in (page_of(failure), page_of_webhook(the_event())):
        assert "It is gone" in text(support, address)
        assert "replay" not in buttons(support, address)
        answer = press(support, address, "replay")
        assert answer.status_code == 400
        assert "its payload is gone" in answer.content.decode()


@pytest.mark.case("webhook_failure", "replay")
def test_a_replayed_webhook_closes_its_case_by_itself(
    support: Client, sue: User, handle: Callable[..., None]
) -> None:
    failure = fail_webhook()
    handle()
    assert press(support, page_of(failure), "claim").status_code == 302

    assert press(support, page_of(failure), "replay").status_code == 302
    assert "Webhook replayed" in text(support, page_of(failure))
    assert "replay" not in buttons(support, page_of(failure))
    inbox.process_inbox()

    assert the_event().status == "PROCESSED"
    assert Case.objects.get().status == "RESOLVED"
    entry = AuditEntry.objects.get(action="webhook.replayed")
    assert entry.actor_id == str(sue.pk)
    assert "It was processed." in text(support, page_of(failure))


def test_what_waits_for_its_next_attempt_can_have_it_now(
    support: Client, handle: Callable[..., None]
) -> None:
    failure = fail_webhook(gives_up=False)
    handle()
    assert (the_event().status, failure.severity) == ("RETRY", "critical")

    assert press(support, page_of(failure), "replay").status_code == 302
    assert the_event().attempts == 0
    inbox.process_inbox()

    assert the_event().status == "PROCESSED"
    assert Case.objects.get().status == "RESOLVED"


@pytest.mark.case("webhook_failure", "ignore")
def test_a_webhook_is_ignored_with_a_reason_and_its_case_closes(
    support: Client,
) -> None:
    failure = fail_webhook()

    refused = press(support, page_of(failure), "ignore", reason=" ")
    assert refused.status_code == 400
    assert the_event().status == "DEAD"
    assert (
        press(support, page_of(failure), "ignore", reason="A test.").status_code < 400
    )

    assert (the_event().status, the_event().ignored_because) == ("IGNORED", "A test.")
    assert Case.objects.get().status == "RESOLVED"
    assert "Webhook ignored" in text(support, page_of(failure))


@pytest.mark.parametrize("button", ["replay", "ignore"])
@pytest.mark.parametrize("trouble", ["stale", "taken", "closed"])
def test_buttons_of_a_failure_obey_the_rules_of_cases(
    support: Client, button: str, trouble: str
) -> None:
    failure, colleague = fail_webhook(), make_staff("support", name="Carl Cole")
    seen = {"case_id": failure.pk, "version": failure.version}
    if trouble != "closed":
        cases.claim_case(**seen, staff_id=colleague.pk)
    else:
        cases.discard_case(**seen, staff_id=colleague.pk, reason="Nothing to do.")
    sent = {"version": failure.version} if trouble == "stale" else {}

    answer = press(support, page_of(failure), button, reason="Mine.", **sent)

    assert answer.status_code == 409
    assert "Mine." in answer.content.decode()
    assert the_event().status == "DEAD"
    if trouble == "stale":
        assert "Case claimed by Carl Cole meanwhile." in answer.content.decode()


def test_whoever_may_not_replay_webhooks_may_not_do_it_through_a_case(
    client: Client,
) -> None:
    failure, reader = fail_webhook(), make_staff("auditor")
    reader.user_permissions.add(Permission.objects.get(codename="change_case"))
    client.force_login(reader)

    assert buttons(client, page_of(failure)) == ["claim", "resolve", "discard"]
    assert press(client, page_of(failure), "replay").status_code == 403
    assert the_event().status == "DEAD"


# --- Webhooks -----------------------------------------------------------------


def test_the_newest_webhook_comes_first(support: Client) -> None:
    made = [store_webhook(f"evt_{number}") for number in range(3)]

    assert shown(support, WEBHOOKS) == made[::-1]


def test_more_webhooks_cost_no_more_queries(support: Client) -> None:
    store_webhook("evt_0")
    few = queries(support, WEBHOOKS)
    for number in range(1, 6):
        store_webhook(f"evt_{number}")

    assert queries(support, WEBHOOKS) == few <= 10


def test_no_list_reads_a_payload(support: Client) -> None:
    fail_webhook()

    for address in (WEBHOOKS, FAILURES):
        with CaptureQueriesContext(connection) as captured:
            shown(support, address)
        assert not [each for each in captured if "payload" in each["sql"]]


def test_webhooks_are_found_by_whole_ids_and_filters(support: Client) -> None:
    one = store_webhook("evt_1")
    other = store_webhook("msg_2", provider="resend", type="email.bounced")
    fail_webhook("evt_3")

    assert shown(support, WEBHOOKS, q="evt_1") == [one]
    assert shown(support, WEBHOOKS, q=f" {one.pk} ") == [one]
    assert shown(support, WEBHOOKS, q="evt") == []
    assert shown(support, WEBHOOKS, provider="resend") == [other]
    assert shown(support, WEBHOOKS, type="email.bounced") == [other]
    assert shown(support, WEBHOOKS, status__exact="RECEIVED") == [other, one]


def test_a_page_of_a_webhook_leads_to_its_case(support: Client) -> None:
    failure = fail_webhook()

    page = text(support, page_of_webhook(the_event()))

    assert reverse("admin:recovery_case_change", args=[failure.pk]) in page


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        (InboxStatus.RECEIVED, ["ignore"]),
        (InboxStatus.PROCESSING, []),
        (InboxStatus.RETRY, ["replay", "ignore"]),
        (InboxStatus.PROCESSED, ["replay"]),
        (InboxStatus.IGNORED, ["replay"]),
        (InboxStatus.DEAD, ["replay", "ignore"]),
    ],
)
def test_a_page_offers_what_its_state_allows(
    support: Client, status: InboxStatus, offered: list[str]
) -> None:
    fail_webhook()
    is_open = status in {"RECEIVED", "PROCESSING", "RETRY"}
    InboxEvent.objects.update(
        status=status,
        next_run_at=the_event().received_at if is_open else None,
        ignored_because="A test." if status == "IGNORED" else "",
    )

    assert buttons(support, page_of_webhook(the_event())) == offered


def test_a_webhook_is_replayed_from_its_page(
    support: Client, handle: Callable[..., None]
) -> None:
    fail_webhook()
    handle()

    assert press(support, page_of_webhook(the_event()), "replay").status_code == 302
    again = press(support, page_of_webhook(the_event()), "replay")
    assert again.status_code == 409
    assert "It is RECEIVED" in again.content.decode()
    inbox.process_inbox()

    assert the_event().status == "PROCESSED"
    assert "Webhook replayed" in text(support, page_of_webhook(the_event()))


def test_a_webhook_is_ignored_from_its_page(support: Client) -> None:
    event = store_webhook()

    assert press(support, page_of_webhook(event), "ignore").status_code == 400
    done = press(support, page_of_webhook(event), "ignore", reason="A test.")

    assert done.status_code == 302
    assert the_event().status == "IGNORED"
    assert "A test." in text(support, page_of_webhook(event))


def test_auditors_replay_and_ignore_nothing(auditor: Client) -> None:
    fail_webhook()
    address = page_of_webhook(the_event())

    assert buttons(auditor, address) == []
    for button in ("replay", "ignore"):
        assert press(auditor, address, button, reason="Mine.").status_code == 403
    assert "replay_selected" not in text(auditor, WEBHOOKS)
    replay_many(auditor)
    assert the_event().status == "DEAD"


def replay_many(client: Client, *, across: bool = False) -> str:
    """Select all webhooks in the list and replay them; returns the page after it."""
    ids = [str(pk) for pk in InboxEvent.objects.values_list("pk", flat=True)]
    sent = {
        "action": "replay_selected",
        "_selected_action": ids[: 1 if across else None],
    }
    answer = client.post(WEBHOOKS, {**sent, "select_across": int(across)}, follow=True)
    return answer.content.decode()


def test_many_are_replayed_at_once_and_the_others_say_why_not(
    support: Client, handle: Callable[..., None]
) -> None:
    for number in range(3):
        fail_webhook(f"evt_{number}")
    store_webhook("evt_new")
    handle()

    page = replay_many(support)

    assert "3 will be tried again." in page
    assert "1 left alone: It is RECEIVED" in page
    inbox.process_inbox()
    assert set(InboxEvent.objects.values_list("status", flat=True)) == {"PROCESSED"}
    assert set(Case.objects.values_list("status", flat=True)) == {"RESOLVED"}


def test_too_many_at_once_are_refused(
    support: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recovery.lists.MAX_AT_ONCE", 2)
    for number in range(3):
        fail_webhook(f"evt_{number}")

    assert "At most 2 at once" in replay_many(support, across=True)

    assert set(InboxEvent.objects.values_list("status", flat=True)) == {"DEAD"}


@pytest.mark.parametrize("button", ["replay", "ignore"])
def test_what_a_colleague_claimed_as_a_case_is_left_to_them(
    support: Client, button: str
) -> None:
    case = fail_webhook()
    oskar = make_staff("operations")
    cases.claim_case(case_id=case.pk, staff_id=oskar.pk, version=case.version)

    answer = support.post(
        page_of_webhook(the_event()), {"do": button, "reason": "Mine."}
    )

    assert answer.status_code == 409
    assert the_event().status == "DEAD"
    Case.objects.update(claimed_until=read_clock())
    again = support.post(
        page_of_webhook(the_event()), {"do": button, "reason": "Mine."}
    )
    assert again.status_code == 302
