"""Back office: tasks that failed, and the retry of whatever gave up."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from recovery import dead_letters
from recovery.models import AuditEntry, Case, DeadLetter
from recovery.work import work_of
from slotbase.accounts.models import User
from slotbase.lib.clock import Now
from tests.factories import make_staff
from tests.recovery.trouble import fail_delivery, open_case

pytestmark = pytest.mark.django_db(transaction=True)

LETTERS = reverse("admin:recovery_deadletter_changelist")
CASES = reverse("admin:recovery_case_changelist")
ID = "0190b8c2-0000-7000-8000-000000000001"


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga Ober")


@pytest.fixture(autouse=True)
def _nobody_here_runs_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a web process: who has loaded the worker could run them."""
    monkeypatch.setattr(dead_letters, "_runner", [dead_letters._refuse])


@pytest.fixture
def operator(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


def give_up(task: str = "bookings.later", **kwargs: Any) -> DeadLetter:
    """One that stands in a case: nobody knows its task."""
    work = work_of(task, kwargs, queue="bookings", message_id=ID)
    dead_letters.record_failure(work, ValueError(), is_permanent=True)
    DeadLetter.objects.filter(key=work.key).update(next_run_at=Now())
    dead_letters.retry_due()
    return DeadLetter.objects.get(key=work.key)


def page_of(row: Any) -> str:
    return reverse(f"admin:recovery_{row._meta.model_name}_change", args=[row.pk])


def press(client: Client, row: Any, button: str, **typed: Any) -> Any:
    sent = {"version": getattr(row, "version", ""), **typed}
    return client.post(page_of(row), {"do": button, **sent})


def buttons(client: Client, row: Any) -> list[str]:
    return list(client.get(page_of(row)).context["row_actions"])


def act(client: Client, page: str, action: str, *rows: Any) -> str:
    """Do something to selected rows; returns the page that says what came of it."""
    selected = [str(row.pk) for row in rows]
    sent = {"action": action, "_selected_action": selected}
    return client.post(page, sent, follow=True).content.decode()


def test_the_page_tells_what_failed_and_links_to_its_case(operator: Client) -> None:
    letter = give_up(id=7, name="Alice Arnold")

    page = operator.get(page_of(letter)).content.decode()

    for words in ("bookings.later", "id=7, name=***", letter.last_error, ID):
        assert words in page
    assert page_of(Case.objects.get()) in page
    assert "Dead letter opened" in page
    assert "Alice" not in page


def test_they_are_found_by_state_and_task(operator: Client) -> None:
    give_up()
    dead_letters.record_failure(work_of("bookings.expire_holds"), ValueError())

    def shown(query: str) -> list[str]:
        listed = operator.get(f"{LETTERS}?{query}").context["cl"].result_list
        return sorted(letter.task for letter in listed)

    assert shown("state=waiting") == ["bookings.later"]
    assert shown("state=due") == ["bookings.expire_holds"]
    assert shown("state=resolved") == []
    assert shown("task=bookings.later") == ["bookings.later"]


def test_one_is_tried_again_from_its_page(operator: Client, olga: User) -> None:
    letter = give_up(task="bookings.expire_holds")

    assert press(operator, letter, "retry").status_code == 302

    letter.refresh_from_db()
    assert letter.next_run_at is not None
    entry = AuditEntry.objects.get(action="dead_letter.retried")
    assert entry.actor_id == str(olga.pk)


def test_one_is_discarded_with_a_reason(operator: Client) -> None:
    letter = give_up()

    assert press(operator, letter, "discard").status_code == 400
    press(operator, letter, "discard", reason="Of a version that never came.")

    letter.refresh_from_db()
    assert (letter.status, letter.ended_because) == (
        "DISCARDED",
        "Of a version that never came.",
    )
    assert Case.objects.get().status == "RESOLVED"
    assert buttons(operator, letter) == []


def test_what_was_masked_offers_no_retry(operator: Client) -> None:
    letter = give_up(name="Alice")

    assert buttons(operator, letter) == ["discard"]
    assert press(operator, letter, "retry").status_code == 409


def test_several_or_all_of_a_task_are_tried_again(operator: Client) -> None:
    letters = [give_up(id=number) for number in range(3)]
    other = give_up(task="bookings.other")
    masked = give_up(name="Alice")

    page = act(operator, LETTERS, "retry_selected", letters[0], masked)
    assert "1 will be tried again." in page
    assert "1 left alone: It is over, or its arguments were not kept." in page

    page = act(operator, LETTERS, "retry_all_of_their_tasks", letters[0])
    assert "3 of bookings.later will be tried again." in page
    due = DeadLetter.objects.filter(next_run_at__isnull=False)
    assert {letter.pk for letter in due} == {letter.pk for letter in letters}
    other.refresh_from_db()
    assert other.next_run_at is None


def test_support_has_no_such_page_and_an_auditor_only_looks(client: Client) -> None:
    letter = give_up(task="bookings.expire_holds")

    client.force_login(make_staff("support"))
    assert client.get(page_of(letter)).status_code == 403
    client.force_login(make_staff("auditor"))
    assert client.get(page_of(letter)).status_code == 200
    assert buttons(client, letter) == []
    for button in ("retry", "discard"):
        assert press(client, letter, button, reason="x").status_code == 403
    act(client, LETTERS, "retry_selected", letter)
    letter.refresh_from_db()
    assert letter.next_run_at is None


# --- Its case -----------------------------------------------------------------


def test_the_case_of_a_task_has_retry_and_ends_only_with_it(operator: Client) -> None:
    letter = give_up(task="bookings.expire_holds")
    case = Case.objects.get()

    assert buttons(operator, case) == ["claim", "retry", "discard"]
    press(operator, case, "retry")
    letter.refresh_from_db()
    assert letter.next_run_at is not None
    press(operator, case, "discard", reason="Done by hand.")

    letter.refresh_from_db()
    assert (letter.status, letter.ended_because) == ("DISCARDED", "Done by hand.")
    assert Case.objects.get().status == "RESOLVED"


def test_cases_of_several_engines_are_retried_at_once(operator: Client) -> None:
    letter, delivery = give_up(task="bookings.expire_holds"), fail_delivery()
    other = open_case()

    page = act(operator, CASES, "retry_selected", *Case.objects.all())

    assert "2 will be tried again." in page
    assert "1 left alone: Cases of this kind have no such button." in page
    letter.refresh_from_db()
    delivery.refresh_from_db()
    assert (letter.next_run_at is None, delivery.status) == (False, "PENDING")
    other.refresh_from_db()
    assert other.status == "OPEN"


def test_who_may_not_retry_is_not_offered_it_for_several(client: Client) -> None:
    delivery = fail_delivery()
    client.force_login(make_staff("support"))

    act(client, CASES, "retry_selected", Case.objects.get())

    delivery.refresh_from_db()
    assert delivery.status == "DEAD"
