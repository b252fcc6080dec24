"""Cases: opened once, claimed by one, closed with a reason, and perhaps reopened."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from recovery import cases, tasks
from recovery.errors import CaseHasChanged, CaseIsTaken, CaseNotFound
from recovery.models import AuditEntry, Case, OutboxEvent, WebhookFailure
from recovery.states import CaseSeverity, CaseStatus
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import InvalidState, ValidationFailed
from slotbase.lib.ids import uuid7
from tests.factories import make_staff

pytestmark = pytest.mark.django_db(transaction=True)


@retry_on_conflict
def open_case(**over: Any) -> UUID:
    fields: dict[str, Any] = {
        "kind": "dead_letter",
        "fingerprint": "dead_letter:1",
        "title": "It gave up",
        "subject_type": "eventdelivery",
        "subject_id": "1",
    }
    return cases.open_case(cases.Opening(**{**fields, **over}))


@retry_on_conflict
def heal(fingerprint: str = "dead_letter:1") -> None:
    cases.close_by_itself(fingerprint, "It succeeded.")


@retry_on_conflict
def close(case: Case, staff_id: Any, reason: str = "Done by hand.") -> None:
    cases.close_case(
        case_id=case.pk,
        staff_id=staff_id,
        version=case.version,
        to=CaseStatus.RESOLVED,
        reason=reason,
    )


def the_case() -> Case:
    return Case.objects.get()


def actions() -> list[str]:
    entries = AuditEntry.objects.filter(subject_type="case").order_by("id")
    return [entry.action for entry in entries]


def claim(staff: Any) -> None:
    cases.claim_case(
        case_id=the_case().pk, staff_id=staff.pk, version=the_case().version
    )


@pytest.fixture
def bob() -> Any:
    return make_staff("support")


@pytest.fixture
def eve() -> Any:
    return make_staff("support")


def test_a_case_has_the_severity_audience_and_time_of_its_kind() -> None:
    open_case()

    case = the_case()
    assert (case.severity, case.audience) == ("high", "operations")
    assert timedelta(hours=3.9) < case.due_at - read_clock() < timedelta(hours=4)
    assert (actions(), case.status) == (["case.opened"], "OPEN")


def test_the_same_trouble_again_is_counted_in_its_case() -> None:
    first, again = open_case(), open_case(cause="another way")

    assert first == again
    assert (the_case().occurrences, the_case().cause) == (2, "another way")


def test_opening_and_closing_are_told_as_events() -> None:
    open_case()
    heal()

    types = [each.type for each in OutboxEvent.objects.order_by("created_at")]
    assert types == ["recovery.case_opened", "recovery.case_closed"]


def test_what_heals_closes_its_case() -> None:
    open_case()

    heal()
    heal()

    assert (the_case().status, the_case().closed_by) == ("RESOLVED", "engine")
    assert actions() == ["case.opened", "case.resolved"]


def test_healing_closes_a_case_that_somebody_works_on(bob: Any) -> None:
    open_case()
    claim(bob)

    heal()

    assert (the_case().status, the_case().claimed_by) == ("RESOLVED", None)


def test_what_comes_back_within_a_day_opens_its_case_again() -> None:
    first = open_case()
    heal()

    assert open_case() == first

    assert (the_case().status, the_case().closed_at) == ("OPEN", None)
    assert actions() == ["case.opened", "case.resolved", "case.reopened"]


def test_what_comes_back_after_a_day_is_a_new_case() -> None:
    first = open_case()
    heal()
    Case.objects.update(closed_at=read_clock() - timedelta(hours=25))

    assert open_case() != first

    assert Case.objects.count() == 2


def test_one_person_works_on_a_case_at_a_time(bob: Any, eve: Any) -> None:
    open_case()
    claim(bob)

    with pytest.raises(CaseIsTaken):
        claim(eve)
    with pytest.raises(CaseIsTaken):
        close(the_case(), eve.pk)

    assert the_case().claimed_by == bob


def test_whoever_has_a_case_may_take_longer(bob: Any) -> None:
    open_case()
    claim(bob)
    until = the_case().claimed_until

    claim(bob)

    assert the_case().claimed_until > until
    assert actions() == ["case.opened", "case.claimed"]


def test_a_claim_that_ran_out_keeps_nobody_away(bob: Any, eve: Any) -> None:
    open_case()
    claim(bob)
    Case.objects.update(claimed_until=read_clock())

    claim(eve)

    assert the_case().claimed_by == eve
    assert actions()[-2:] == ["case.given_back", "case.claimed"]


def test_a_sweep_gives_back_what_was_claimed_and_forgotten(bob: Any) -> None:
    open_case()
    claim(bob)

    tasks.give_back_stale_claims()
    assert the_case().status == "CLAIMED"
    Case.objects.update(claimed_until=read_clock())
    tasks.give_back_stale_claims()

    assert (the_case().status, the_case().claimed_by) == ("OPEN", None)


def test_a_case_can_be_given_back(bob: Any, eve: Any) -> None:
    open_case()
    claim(bob)

    cases.give_back_case(
        case_id=the_case().pk, staff_id=bob.pk, version=the_case().version
    )
    claim(eve)

    assert the_case().claimed_by == eve


def test_closing_needs_a_reason(bob: Any) -> None:
    open_case()

    with pytest.raises(ValidationFailed):
        close(the_case(), bob.pk, reason="  ")

    close(the_case(), bob.pk)
    assert (the_case().status, the_case().close_reason) == ("RESOLVED", "Done by hand.")
    assert the_case().closed_by == str(bob.pk)


def test_a_case_that_changed_meanwhile_is_looked_at_again(bob: Any) -> None:
    open_case()
    seen = the_case()
    claim(bob)

    with pytest.raises(CaseHasChanged):
        close(seen, bob.pk)


def test_a_closed_case_stays_closed(bob: Any) -> None:
    open_case()
    heal()

    with pytest.raises(InvalidState):
        close(the_case(), bob.pk)
    with pytest.raises(InvalidState):
        claim(bob)


def test_a_case_that_is_not_there_is_not_found(bob: Any) -> None:
    with pytest.raises(CaseNotFound):
        cases.claim_case(case_id=uuid7(), staff_id=bob.pk, version=1)


def test_a_case_may_be_worse_than_its_kind() -> None:
    open_case(severity=CaseSeverity.CRITICAL)

    assert the_case().severity == "critical"


def test_webhook_failures_are_the_cases_of_webhooks() -> None:
    open_case()
    open_case(kind="webhook_failure", fingerprint="w", subject_type="inboxevent")

    assert [each.kind for each in WebhookFailure.objects.all()] == ["webhook_failure"]


def test_every_kind_has_what_staff_need_to_know() -> None:
    kinds = cases.registered()

    assert {
        *("webhook_failure", "dead_letter"),
        *("provider_configuration", "invariant_violation"),
    } <= set(kinds)
    for kind in kinds.values():
        assert kind.says
        assert kind.severity in cases.DUE_WITHIN
        assert len(kind.audience) <= 16
