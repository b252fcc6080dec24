"""Back office: how far each workflow is, and what staff do when it is stuck."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from recovery.models import Case, WorkflowRun
from recovery.workflows import advance
from slotbase.accounts.models import User
from tests.factories import make_staff, make_venue
from tests.workflow import Script, registered, start, the_run

pytestmark = pytest.mark.django_db(transaction=True)

RUNS = reverse("admin:recovery_workflowrun_changelist")


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    with registered(script):
        yield script


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga Ober")


@pytest.fixture
def operator(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


@pytest.fixture
def stuck(script: Script) -> WorkflowRun:
    """One that fails after its pivot; what made it fail is gone."""
    start(title="Order 7K3QF")
    script.fails["ship"] = ValueError()
    advance()
    script.fails.clear()
    return the_run()


def page_of(row: Any) -> str:
    return reverse(f"admin:recovery_{row._meta.model_name}_change", args=[row.pk])


def press(client: Client, row: Any, button: str, **typed: Any) -> Any:
    sent = {"version": getattr(row, "version", ""), **typed}
    return client.post(page_of(row), {"do": button, **sent})


def buttons(client: Client, row: Any) -> list[str]:
    return list(client.get(page_of(row)).context["row_actions"])


def shown(client: Client, **query: str) -> list[str]:
    answer = client.get(RUNS, query)
    assert answer.status_code == 200
    return sorted(each.subject_id for each in answer.context["cl"].result_list)


def test_the_page_tells_each_step_and_links_to_the_case(
    operator: Client, stuck: WorkflowRun
) -> None:
    page = operator.get(page_of(stuck)).content.decode()

    for words in (
        *("reserve", "charge", "ship", "tell", "badge-pending", "badge-running"),
        *("Order 7K3QF", "ValueError in tests.workflow", "charge of 1"),
        *("Workflow step done", page_of(Case.objects.get())),
    ):
        assert words in page, words


def test_workflows_are_found_by_state_name_and_id(
    operator: Client, script: Script, stuck: WorkflowRun
) -> None:
    start("2")
    advance()
    WorkflowRun.objects.filter(pk=stuck.pk).update(next_run_at=None)

    assert shown(operator) == ["1", "2"]
    assert shown(operator, state="waiting") == ["1"]
    assert shown(operator, state="due") == shown(operator, state="late") == []
    assert shown(operator, state="done") == ["2"]
    assert shown(operator, name="tester") == ["1", "2"]
    assert shown(operator, q=str(stuck.pk)) == ["1"]
    assert shown(operator, q="2") == ["2"]
    assert shown(operator, q="nothing") == []


def test_operations_resumes_a_workflow_from_its_page(
    operator: Client, stuck: WorkflowRun
) -> None:
    assert press(operator, stuck, "resume").status_code == 302
    advance()

    assert the_run().status == "DONE"
    assert buttons(operator, stuck) == []
    assert press(operator, stuck, "resume").status_code == 409


def test_abandoning_needs_a_reason(operator: Client, stuck: WorkflowRun) -> None:
    assert press(operator, stuck, "abandon").status_code == 400
    assert press(operator, stuck, "abandon", reason="By hand.").status_code == 302

    assert the_run().status == "ABANDONED"
    page = operator.get(page_of(stuck)).content.decode()
    assert "By hand." in page
    assert "badge-abandoned" in page


@pytest.mark.case("workflow_stuck", "resume")
def test_the_case_ends_with_the_workflow_and_not_without_it(
    operator: Client, stuck: WorkflowRun
) -> None:
    case = Case.objects.get()
    assert buttons(operator, case) == ["claim", "resume", "abandon"]
    for button in ("resolve", "discard"):
        assert press(operator, case, button, reason="Away.").status_code == 409
    assert the_run().status == "RUNNING"
    case.refresh_from_db()

    assert press(operator, case, "resume").status_code == 302
    advance()

    case.refresh_from_db()
    assert (the_run().status, case.status) == ("DONE", "RESOLVED")
    assert buttons(operator, case) == []


@pytest.mark.case("workflow_stuck", "abandon")
def test_a_workflow_is_abandoned_from_its_case(
    operator: Client, stuck: WorkflowRun
) -> None:
    case = Case.objects.get()

    assert press(operator, case, "abandon", reason="By hand.").status_code == 302

    case.refresh_from_db()
    assert (the_run().status, case.status) == ("ABANDONED", "RESOLVED")


def test_a_colleague_who_works_on_the_case_is_not_overtaken(
    operator: Client, stuck: WorkflowRun
) -> None:
    case = Case.objects.get()
    oskar = Client()
    oskar.force_login(make_staff("operations"))
    press(oskar, case, "claim")
    case.refresh_from_db()

    assert press(operator, case, "resume").status_code == 409
    assert buttons(operator, case) == []


def test_support_looks_and_does_nothing(client: Client, stuck: WorkflowRun) -> None:
    client.force_login(make_staff("support"))

    assert shown(client) == ["1"]
    assert buttons(client, stuck) == []
    assert press(client, stuck, "resume").status_code == 403


def test_support_sees_workflows_of_its_own_venues(
    client: Client, script: Script
) -> None:
    mine, other = make_venue(), make_venue()
    start("mine", venue_id=mine.pk)
    start("other", venue_id=other.pk)
    client.force_login(make_staff("support", venues=[mine]))

    assert shown(client) == ["mine"]
    hidden = WorkflowRun.objects.get(subject_id="other")
    assert client.get(page_of(hidden)).status_code == 302


def test_the_front_desk_has_no_such_page(client: Client, stuck: WorkflowRun) -> None:
    client.force_login(make_staff("front_desk"))

    assert client.get(page_of(stuck)).status_code == 403
