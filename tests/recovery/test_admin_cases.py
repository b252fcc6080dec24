"""Back office: staff see what is urgent, take it, and finish it or give it back."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from recovery import cases
from recovery.models import AuditEntry, Case, EventDelivery
from recovery.states import CaseSeverity
from slotbase.accounts.models import User
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict
from tests.factories import make_customer, make_staff, make_venue
from tests.recovery.trouble import fail_delivery, open_case

pytestmark = pytest.mark.django_db

CASES = reverse("admin:recovery_case_changelist")
EVIL = "<script>alert(1)</script>"


@pytest.fixture
def olga() -> User:
    return make_staff("operations", name="Olga Ober")


@pytest.fixture
def oskar() -> User:
    return make_staff("operations", name="Oskar Orth")


@pytest.fixture
def operator(client: Client, olga: User) -> Client:
    client.force_login(olga)
    return client


@pytest.fixture
def case() -> Case:
    return open_case()


def page_of(case: Case) -> str:
    return reverse("admin:recovery_case_change", args=[case.pk])


def press(client: Client, case: Case, button: str, **typed: Any) -> Any:
    """Press a button of the page as it is now; `version` may be an older one."""
    sent = {"version": Case.objects.get(pk=case.pk).version, **typed}
    return client.post(page_of(case), {"do": button, **sent})


def text(client: Client, case: Case) -> str:
    return client.get(page_of(case)).content.decode()


def buttons(client: Client, case: Case) -> list[str]:
    """The names of the buttons on the page."""
    return list(client.get(page_of(case)).context["row_actions"])


def listed(client: Client, **query: str) -> list[str]:
    """The fingerprints in the list."""
    answer = client.get(CASES, query)
    assert answer.status_code == 200
    return [each.fingerprint for each in answer.context["cl"].result_list]


def states() -> list[tuple[str, str]]:
    """Actions on cases and who did them."""
    entries = AuditEntry.objects.filter(subject_type="case").order_by("id")
    return [(entry.action, entry.actor_id) for entry in entries]


# --- The list -----------------------------------------------------------------


def test_the_most_severe_comes_first_then_the_most_overdue(operator: Client) -> None:
    made = [
        ("low", "low", 0),
        ("high, later", "high", 2),
        ("critical", "critical", 3),
        ("medium", "medium", -9),
        ("high, overdue", "high", -1),
    ]
    for fingerprint, severity, hours in made:
        open_case(fingerprint, severity=CaseSeverity(severity))
        due_at = read_clock() + timedelta(hours=hours)
        Case.objects.filter(fingerprint=fingerprint).update(due_at=due_at)

    assert listed(operator) == [
        *("critical", "high, overdue", "high, later", "medium", "low"),
    ]


def test_what_is_overdue_can_be_seen(operator: Client, case: Case) -> None:
    assert "due in 59" in operator.get(CASES).content.decode()
    assert "overdue by" not in operator.get(CASES).content.decode()

    ago = read_clock() - timedelta(hours=2, minutes=1)
    Case.objects.update(due_at=ago)

    assert "overdue by 2\N{NO-BREAK SPACE}h" in operator.get(CASES).content.decode()
    assert "overdue by 2\N{NO-BREAK SPACE}h" in text(operator, case)


def test_a_line_says_what_whose_and_how_much(operator: Client, oskar: User) -> None:
    venue = make_venue(name="Parkside")
    case = open_case(
        venue_id=venue.pk, reference="ABCDE-23456", amount_minor=1234, currency="EUR"
    )
    cases.claim_case(case_id=case.pk, staff_id=oskar.pk, version=case.version)

    page = operator.get(CASES).content.decode()

    for words in (
        *("I1 is broken: No unit is sold twice.", "Invariant violation"),
        *("badge-critical", "badge-claimed", "Oskar Orth", "Parkside"),
        *("ABCDE-23456", "12.34 EUR"),
    ):
        assert words in page, words


def test_open_cases_are_listed_unless_others_are_asked_for(
    operator: Client, olga: User
) -> None:
    closed = open_case("closed")
    cases.discard_case(
        case_id=closed.pk, staff_id=olga.pk, version=closed.version, reason="A test."
    )
    mine = open_case("mine")
    cases.claim_case(case_id=mine.pk, staff_id=olga.pk, version=mine.version)
    open_case("open")

    assert listed(operator) == ["mine", "open"]
    assert listed(operator, state="closed") == ["closed"]
    assert listed(operator, state="all") == ["open", "mine", "closed"]
    assert listed(operator, state="nonsense") == ["mine", "open"]
    assert listed(operator, claimed_by="me") == ["mine"]


def test_the_list_filters_by_kind_severity_audience_and_venue(operator: Client) -> None:
    venue = make_venue()
    open_case("invariant")
    open_case("webhook", kind="webhook_failure", venue_id=venue.pk)

    assert listed(operator, kind="webhook_failure") == ["webhook"]
    assert listed(operator, severity__exact="critical") == ["invariant"]
    assert listed(operator, audience="support") == ["webhook"]
    assert listed(operator, venue__id__exact=str(venue.pk)) == ["webhook"]


def test_search_finds_by_title_reference_and_subject(operator: Client) -> None:
    open_case("one", title="Lost at night", reference="ABCDE-23456", subject_id="I77")
    open_case("other")

    for words in ("night lost", "ABCDE-23456", "I77"):
        assert listed(operator, q=words) == ["one"], words
    assert listed(operator, q="nothing") == []


def test_more_cases_cost_no_more_queries(operator: Client, oskar: User) -> None:
    def add(number: int) -> None:
        case = open_case(f"case {number}", venue_id=make_venue().pk)
        cases.claim_case(case_id=case.pk, staff_id=oskar.pk, version=case.version)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            listed(operator)
        return len(captured)

    add(0)
    few = queries()
    for number in range(1, 6):
        add(number)

    assert queries() == few <= 12


# --- The page -----------------------------------------------------------------


def test_a_page_tells_what_happened_and_when_it_closes_itself(
    operator: Client, case: Case
) -> None:
    page = text(operator, case)

    for words in (
        *("Rows break a rule that must always hold.", "when the check is clean again"),
        *("<dt>Rows</dt>", "<dd>12 34</dd>", "<dd>56 78</dd>"),
        *("Invariant I1", "Case opened"),
    ):
        assert words in page, words


def test_a_page_links_to_what_it_is_about(operator: Client) -> None:
    customer = make_customer("Alice Adler")
    delivery = fail_delivery()
    case = Case.objects.get()
    Case.objects.update(customer=customer)

    page = text(operator, case)

    assert reverse("admin:recovery_eventdelivery_change", args=[delivery.pk]) in page
    assert "Alice Adler" in page


def test_times_are_those_of_the_venue(operator: Client) -> None:
    venue = make_venue(time_zone="Asia/Tokyo")

    assert "JST" in text(operator, open_case(venue_id=venue.pk))
    assert "UTC" in text(operator, open_case("other"))


def test_what_others_wrote_is_shown_as_text(operator: Client) -> None:
    case = open_case(title=EVIL, cause=EVIL, details={EVIL: [EVIL]}, reference=EVIL)
    press(operator, case, "resolve", reason=EVIL, evidence=EVIL)

    for page in (
        operator.get(CASES, {"state": "all"}).content.decode(),
        text(operator, case),
        press(operator, case, "resolve", reason=EVIL).content.decode(),
    ):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page.lower()


# --- Who sees what, and who may do what ---------------------------------------


def test_support_sees_its_venues_and_what_is_about_none(client: Client) -> None:
    own, foreign = make_venue(), make_venue()
    here = open_case("here", venue_id=own.pk)
    elsewhere = open_case("elsewhere", venue_id=foreign.pk)
    open_case("nowhere")
    client.force_login(make_staff("support", [own]))

    assert sorted(listed(client)) == ["here", "nowhere"]
    assert client.get(page_of(here)).status_code == 200
    assert client.get(page_of(elsewhere)).status_code == 302
    assert press(client, elsewhere, "claim").status_code == 302
    assert Case.objects.get(pk=elsewhere.pk).status == "OPEN"


def test_the_front_desk_sees_cases_that_are_for_it_and_no_others(
    client: Client, case: Case
) -> None:
    own, foreign = make_venue(), make_venue()
    open_case("mine", kind="refund_payout", venue_id=own.pk)
    open_case("foreign", kind="refund_payout", venue_id=foreign.pk)
    open_case("of support", kind="webhook_failure", venue_id=own.pk)
    client.force_login(make_staff("front_desk", [own]))

    assert listed(client) == ["mine"]
    assert client.get(page_of(case)).status_code == 302
    assert press(client, case, "claim").status_code == 302
    assert Case.objects.get(pk=case.pk).status == "OPEN"


def test_whoever_works_at_the_desk_and_for_support_sees_all(client: Client) -> None:
    venue = make_venue()
    open_case("payout", kind="refund_payout", venue_id=venue.pk)
    open_case("webhook", kind="webhook_failure", venue_id=venue.pk)
    both = make_staff("front_desk", [venue])
    both.groups.add(Group.objects.get(name="support"))
    client.force_login(both)

    assert sorted(listed(client)) == ["payout", "webhook"]


def test_a_manager_sees_the_cases_of_the_own_venue_and_its_desk(
    client: Client,
) -> None:
    here, elsewhere = make_venue(), make_venue()
    for venue in (here, elsewhere):
        for kind in ("time_zone_moved", "refund_payout", "refund_failure"):
            open_case(f"{kind} {venue.pk}", kind=kind, venue_id=venue.pk)
    client.force_login(make_staff("manager", [here]))

    assert sorted(listed(client)) == [
        f"refund_payout {here.pk}",
        f"time_zone_moved {here.pk}",
    ]
    hidden = Case.objects.get(fingerprint=f"time_zone_moved {elsewhere.pk}")
    assert press(client, hidden, "claim").status_code == 302
    assert Case.objects.get(pk=hidden.pk).status == "OPEN"


def test_auditors_look_and_press_nothing(client: Client, case: Case) -> None:
    client.force_login(make_staff("auditor"))

    assert buttons(client, case) == []
    for button in ("claim", "resolve", "discard", "nonsense", ""):
        assert press(client, case, button, reason="Mine.").status_code == 403
    assert Case.objects.get().status == "OPEN"


def test_a_button_that_is_none_is_refused(operator: Client, case: Case) -> None:
    assert press(operator, case, "nonsense").status_code == 403
    assert press(operator, case, "replay").status_code == 403


def test_a_form_without_its_token_changes_nothing(olga: User, case: Case) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(olga)

    assert press(strict, case, "claim").status_code == 403
    assert Case.objects.get().status == "OPEN"


def test_looking_changes_nothing(operator: Client, case: Case) -> None:
    operator.get(page_of(case), {"do": "claim", "version": case.version})

    assert Case.objects.get().status == "OPEN"


# --- Claim, give back, resolve, discard ---------------------------------------


def test_a_case_is_claimed_and_given_back(
    operator: Client, case: Case, olga: User
) -> None:
    assert press(operator, case, "claim").status_code == 302
    claimed = Case.objects.get()
    assert (claimed.status, claimed.claimed_by) == ("CLAIMED", olga)
    assert "Olga Ober until" in text(operator, case)
    assert buttons(operator, case) == ["claim", "give_back", "resolve", "discard"]

    assert press(operator, case, "give_back").status_code == 302
    assert Case.objects.get().status == "OPEN"
    assert buttons(operator, case) == ["claim", "resolve", "discard"]
    assert states()[1:] == [
        ("case.claimed", str(olga.pk)),
        ("case.given_back", str(olga.pk)),
    ]


def test_a_case_is_resolved_with_a_reason_and_evidence(
    operator: Client, case: Case, olga: User
) -> None:
    press(operator, case, "resolve", reason="Fixed by hand.", evidence="Ticket 77")

    closed = Case.objects.get()
    assert (closed.status, closed.close_reason) == ("RESOLVED", "Fixed by hand.")
    assert (closed.evidence, closed.closed_by) == ("Ticket 77", str(olga.pk))
    assert "Ticket 77" in text(operator, case)
    assert buttons(operator, case) == []


def test_what_people_wrote_stays_out_of_the_audit(operator: Client, case: Case) -> None:
    press(operator, case, "resolve", reason="Ada called.", evidence="Her number")

    assert set(AuditEntry.objects.values_list("reason", flat=True)) == {""}


def test_evidence_of_an_earlier_closing_is_kept(operator: Client, case: Case) -> None:
    press(operator, case, "resolve", reason="Done.", evidence="Ticket 77")
    open_case()
    assert "Ticket 77" in text(operator, case)
    press(operator, case, "resolve", reason="Again.", evidence="Ticket 78")

    assert Case.objects.get().evidence == "Ticket 77\n\nTicket 78"


def test_a_case_is_discarded_with_a_reason(operator: Client, case: Case) -> None:
    press(operator, case, "discard", reason="A drill.")

    assert Case.objects.get().status == "DISCARDED"
    assert Case.objects.get().close_reason == "A drill."


@pytest.mark.parametrize("button", ["resolve", "discard"])
@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "NUL \0"])
def test_closing_needs_a_reason_and_keeps_what_was_typed(
    operator: Client, case: Case, button: str, reason: str
) -> None:
    answer = press(operator, case, button, reason=reason, evidence="Ticket 77")

    assert answer.status_code == 400
    assert "Ticket 77" in answer.content.decode()
    assert "Nothing was done" in answer.content.decode()
    assert Case.objects.get().status == "OPEN"


def test_whoever_comes_second_is_told_who_was_first_and_keeps_the_text(
    operator: Client, case: Case, oskar: User
) -> None:
    stale = case.version
    for do in (cases.claim_case, cases.give_back_case):
        version = Case.objects.get().version
        do(case_id=case.pk, staff_id=oskar.pk, version=version)

    answer = press(operator, case, "resolve", version=stale, reason="Fixed by hand.")

    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Case given back by Oskar Orth meanwhile." in page
    assert "Fixed by hand." in page
    assert f'name="version" value="{Case.objects.get().version}"' in page
    assert Case.objects.get().status == "OPEN"


@pytest.mark.parametrize("button", ["claim", "give_back", "resolve", "discard"])
def test_what_a_colleague_works_on_is_left_alone(
    operator: Client, case: Case, oskar: User, button: str
) -> None:
    cases.claim_case(case_id=case.pk, staff_id=oskar.pk, version=case.version)

    assert buttons(operator, case) == []
    answer = press(operator, case, button, reason="Mine.")

    assert answer.status_code == 409
    assert "A colleague works on it until" in answer.content.decode()
    assert Case.objects.get().claimed_by == oskar


def test_a_claim_that_ran_out_is_shown_as_none(
    operator: Client, case: Case, oskar: User
) -> None:
    cases.claim_case(case_id=case.pk, staff_id=oskar.pk, version=case.version)
    Case.objects.update(claimed_until=read_clock() - timedelta(seconds=1))

    page = operator.get(CASES).content.decode()
    assert "Oskar Orth" not in page
    assert "badge-open" in page
    assert press(operator, case, "claim").status_code == 302
    assert "Olga Ober until" in text(operator, case)


@pytest.mark.parametrize("button", ["claim", "give_back", "resolve", "discard"])
def test_what_is_closed_stays_closed(operator: Client, case: Case, button: str) -> None:
    press(operator, case, "resolve", reason="Done.")

    answer = press(operator, case, button, reason="Again.")

    assert answer.status_code == 409
    assert Case.objects.get().close_reason == "Done."


@pytest.mark.parametrize("version", ["", "x", "-1", "9" * 400])
def test_a_version_that_is_none_is_refused(
    operator: Client, case: Case, version: str
) -> None:
    answer = press(operator, case, "claim", version=version)

    assert answer.status_code in {400, 409}
    assert Case.objects.get().status == "OPEN"


# --- Kinds --------------------------------------------------------------------


@pytest.mark.case("dead_letter", "retry")
def test_a_dead_letter_is_tried_again(operator: Client, olga: User) -> None:
    delivery, case = fail_delivery(), Case.objects.get()
    assert "retry" in buttons(operator, case)

    assert press(operator, case, "retry").status_code == 302

    delivery.refresh_from_db()
    assert delivery.status == "PENDING"
    assert ("delivery.retried", str(olga.pk)) in AuditEntry.objects.values_list(
        "action", "actor_id"
    )
    assert "Delivery retried" in text(operator, case)
    assert "retry" not in buttons(operator, case)
    again = press(operator, case, "retry")
    assert again.status_code == 409
    assert "Only a dead delivery" in again.content.decode()


def test_only_operations_retries_or_gives_up_a_dead_letter(client: Client) -> None:
    fail_delivery()
    case = Case.objects.get()
    client.force_login(make_staff("support"))

    assert buttons(client, case) == ["claim", "resolve"]
    for button in ("retry", "discard"):
        assert press(client, case, button, reason="Mine.").status_code == 403
    assert EventDelivery.objects.get().status == "DEAD"


@pytest.mark.case("dead_letter", "discard")
def test_a_dead_letter_is_given_up_with_a_reason(operator: Client) -> None:
    fail_delivery()
    case = Case.objects.get()

    press(operator, case, "discard", reason="Nobody needs it.")

    assert Case.objects.get().status == "DISCARDED"
    assert EventDelivery.objects.get().status == "DEAD"


def test_a_dead_letter_of_another_engine_offers_no_retry(operator: Client) -> None:
    case = open_case(kind="dead_letter", subject_type="refund", subject_id="abc")

    assert "retry" not in buttons(operator, case)
    assert press(operator, case, "retry").status_code == 409


@pytest.mark.case("provider_configuration", "resume")
def test_a_paused_queue_is_resumed(operator: Client, olga: User) -> None:
    fingerprint = "provider_configuration:stripe"
    case = open_case(
        fingerprint,
        kind="provider_configuration",
        subject_type="provider",
        subject_id="stripe",
    )
    minute = timedelta(minutes=1)
    assert cases.was_seen_within(fingerprint, minute)

    assert press(operator, case, "resume").status_code == 302

    assert not cases.was_seen_within(fingerprint, minute)
    closed = Case.objects.get()
    assert (closed.status, closed.closed_by) == ("RESOLVED", str(olga.pk))
    assert closed.close_reason == "The queue was resumed."


@pytest.mark.parametrize(
    ("kind", "button"),
    [("dead_letter", "retry"), ("provider_configuration", "resume")],
)
@pytest.mark.parametrize("trouble", ["stale", "taken", "closed"])
def test_what_a_kind_offers_obeys_the_same_rules(
    operator: Client, oskar: User, kind: str, button: str, trouble: str
) -> None:
    delivery = fail_delivery()
    Case.objects.update(kind=kind)
    case = Case.objects.get()
    seen = case.version
    if trouble == "taken":
        cases.claim_case(case_id=case.pk, staff_id=oskar.pk, version=seen)
        seen += 1
    if trouble == "closed":
        press(operator, case, "resolve", reason="Done.")
        seen += 1
    if trouble == "stale":
        seen -= 1

    answer = press(operator, case, button, version=seen)

    assert answer.status_code == 409
    delivery.refresh_from_db()
    assert delivery.status == "DEAD"
    assert Case.objects.get().close_reason in {"", "Done."}


def test_a_case_that_heals_says_so_in_its_story(operator: Client, case: Case) -> None:
    @retry_on_conflict
    def heal() -> None:
        cases.close_by_itself(case.fingerprint, "The check is clean again.")

    heal()

    page = text(operator, case)
    assert "Case resolved" in page
    assert "The check is clean again." in page
