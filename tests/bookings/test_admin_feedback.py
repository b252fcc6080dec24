"""Back office: coaches' notes as staff see them, and the words that coaches have."""

from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from bookings.models import Booking, Drill, SessionFeedback, Skill, TokenBudget
from bookings.services.feedback import accept_feedback
from bookings.states import BookingStatus, EnhancementStatus
from notifications.models import Notification
from recovery.models import AuditEntry
from slotbase.accounts.models import Venue
from slotbase.lib.clock import Now
from tests.bookings.sessions import (
    NOTES,
    give_up,
    make_drill,
    make_feedback,
    make_feedback_rows,
    make_skill,
)
from tests.factories import make_staff, make_venue

pytestmark = pytest.mark.django_db

LIST = reverse("admin:bookings_sessionfeedback_changelist")
SEE = ("manager", "support", "support_lead", "auditor")
SEE_NOT = ("front_desk", "operations")
EVIL = "<img src=x onerror=\"document.title='stolen'\">"


@pytest.fixture
def venue() -> Venue:
    return make_venue()


@pytest.fixture
def feedback(venue: Venue) -> SessionFeedback:
    return make_feedback(venue=venue)


def sign_in(client: Client, group: str, *venues: Venue) -> Client:
    client.force_login(make_staff(group, venues))
    return client


def page_of(row: Any) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])


# --- Who sees it --------------------------------------------------------------


@pytest.mark.parametrize("group", SEE)
def test_who_sees_notes_sees_those_of_their_venues(
    client: Client, venue: Venue, feedback: SessionFeedback, group: str
) -> None:
    elsewhere = make_feedback(notes="elsewhere")
    staff = sign_in(client, group, venue)

    shown = {*staff.get(LIST).context["cl"].result_list}
    page = staff.get(page_of(feedback)).content.decode()

    assert feedback in shown
    assert (elsewhere in shown) == (group == "auditor")
    assert "toss drifts left" in page
    assert feedback.booking.reference in page
    assert staff.get(page_of(elsewhere)).status_code == (
        200 if group == "auditor" else 302
    )


@pytest.mark.parametrize("group", SEE_NOT)
def test_notes_are_about_a_person_and_not_for_everybody(
    client: Client, venue: Venue, feedback: SessionFeedback, group: str
) -> None:
    staff = sign_in(client, group, venue)

    assert staff.get(LIST).status_code == 403
    assert staff.get(page_of(feedback)).status_code == 403


def test_it_is_found_by_the_reference_of_its_booking(
    client: Client, venue: Venue, feedback: SessionFeedback
) -> None:
    staff = sign_in(client, "support", venue)
    make_feedback(venue=venue)

    query = {"q": feedback.booking.reference.lower()}
    assert [*staff.get(LIST, query).context["cl"].result_list] == [feedback]
    assert [*staff.get(LIST, {"q": "xx"}).context["cl"].result_list] == []


def test_it_is_found_by_its_state_and_why(
    client: Client, venue: Venue, feedback: SessionFeedback
) -> None:
    make_feedback(venue=venue)
    give_up(feedback)
    staff = sign_in(client, "support", venue)

    for query in ({"status__exact": "DEGRADED"}, {"fallback_reason__exact": "TIMEOUT"}):
        assert [*staff.get(LIST, query).context["cl"].result_list] == [feedback]
    assert "No answer in time" in staff.get(LIST).content.decode()


def test_the_page_has_all_that_there_is(client: Client, venue: Venue) -> None:
    row = make_feedback_rows(venue)

    page = sign_in(client, "support", venue).get(page_of(row)).content.decode()

    for words in ("toss drifts left", "Well done!", "Backhand", "Serve targets"):
        assert words in page
    assert "Jo Jensen" in page
    assert "Alice Adler" in page


def test_the_page_shows_that_the_customer_was_told(
    client: Client, venue: Venue, feedback: SessionFeedback
) -> None:
    staff = sign_in(client, "support", venue)
    before = staff.get(page_of(feedback)).content.decode()

    accept_feedback(
        booking_id=feedback.booking_id,
        coach_id=feedback.coach_id,
        version=feedback.version,
    )

    page = staff.get(page_of(feedback)).content.decode()
    told = Notification.objects.get(template="feedback_ready", channel="EMAIL")
    link = reverse("admin:notifications_notification_change", args=[told.pk])
    assert link in page
    assert link not in before


@pytest.mark.breaks_invariants
def test_what_did_not_take_place_is_not_asked_for_again(
    client: Client, venue: Venue, feedback: SessionFeedback
) -> None:
    give_up(feedback)
    staff = sign_in(client, "support", venue)
    assert "Ask again" in staff.get(page_of(feedback)).content.decode()

    Booking.objects.update(status=BookingStatus.CANCELLING)

    assert "Ask again" not in staff.get(page_of(feedback)).content.decode()


# --- What is done -------------------------------------------------------------


@pytest.mark.parametrize("group", ["manager", "support", "support_lead"])
@pytest.mark.parametrize("status", ["DEGRADED", "FAILED", "SKIPPED"])
def test_what_was_given_up_is_asked_for_again(
    client: Client, venue: Venue, feedback: SessionFeedback, group: str, status: str
) -> None:
    """F88: once OpenAI is well, the notes are where they were."""
    give_up(feedback, to=status)
    staff = sign_in(client, group, venue)
    assert "Ask again" in staff.get(page_of(feedback)).content.decode()

    assert staff.post(page_of(feedback), {"do": "ask_again"}).status_code == 302

    feedback.refresh_from_db()
    assert feedback.status == EnhancementStatus.PENDING
    assert feedback.next_run_at is not None
    assert (feedback.attempts, feedback.notes) == (0, NOTES)
    entry = AuditEntry.objects.filter(subject_id=str(feedback.pk)).latest("id")
    assert entry.actor_kind == "staff"


def test_while_it_waits_there_is_nothing_to_press(
    client: Client, venue: Venue, feedback: SessionFeedback
) -> None:
    staff = sign_in(client, "support", venue)

    assert "Ask again" not in staff.get(page_of(feedback)).content.decode()
    staff.post(page_of(feedback), {"do": "ask_again"})
    feedback.refresh_from_db()
    assert feedback.status == EnhancementStatus.PENDING


def test_an_auditor_looks_and_does_nothing(
    client: Client, venue: Venue, feedback: SessionFeedback
) -> None:
    give_up(feedback)
    auditor = sign_in(client, "auditor")

    assert "Ask again" not in auditor.get(page_of(feedback)).content.decode()
    assert auditor.post(page_of(feedback), {"do": "ask_again"}).status_code == 403


def test_nobody_asks_again_at_another_venue(
    client: Client, feedback: SessionFeedback
) -> None:
    give_up(feedback)

    sign_in(client, "support", make_venue()).post(
        page_of(feedback), {"do": "ask_again"}
    )

    feedback.refresh_from_db()
    assert feedback.status == EnhancementStatus.DEGRADED


@pytest.mark.parametrize("group", SEE)
def test_nothing_that_was_written_can_be_changed(
    client: Client, venue: Venue, feedback: SessionFeedback, group: str
) -> None:
    staff = sign_in(client, group, venue)

    staff.post(page_of(feedback), {"notes": "other", "enhanced_text": "other"})

    feedback.refresh_from_db()
    assert (feedback.notes, feedback.enhanced_text) == (NOTES, "")
    assert "<textarea" not in staff.get(page_of(feedback)).content.decode()


# --- What somebody wrote is text ----------------------------------------------


class Elements(HTMLParser):
    """The tags of a page with their attributes, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))

    def handlers(self) -> list[str]:
        """What would run without a click."""
        return [
            name for _, attrs in self.found for name in attrs if name.startswith("on")
        ]


@pytest.mark.breaks_invariants
def test_what_a_coach_or_a_model_wrote_runs_nowhere(
    client: Client, venue: Venue
) -> None:
    """F89, S19: an image with a handler in every text of it is a text."""
    row = make_feedback_rows(venue)
    Skill.objects.update(name=EVIL)
    Drill.objects.update(name=f"{EVIL} 2", description=EVIL)
    SessionFeedback.objects.update(
        notes=EVIL,
        enhanced_text=EVIL,
        enhanced_at=Now(),
        accepted_text=EVIL,
        skills=row.accepted_skills,
        drills=row.accepted_drills,
        status=EnhancementStatus.DONE,
        fallback_reason="",
        next_run_at=None,
    )
    staff = sign_in(client, "manager", venue)

    for address in (page_of(row), LIST, *map(page_of, [Skill.objects.get()])):
        page = staff.get(address).content.decode()
        elements = Elements(page)
        assert elements.handlers() == []
        assert not [tag for tag, attrs in elements.found if attrs.get("src") == "x"]
    page = staff.get(page_of(row)).content.decode()
    assert page.count("&lt;img src=x onerror=") >= 5


def test_a_page_that_trusts_a_coach_would_be_seen() -> None:
    assert Elements(f"<p>{EVIL}</p>").handlers() == ["onerror"]


# --- Skills and drills --------------------------------------------------------


@pytest.mark.parametrize("make", [make_skill, make_drill])
def test_a_manager_adds_to_the_words_of_their_venue(
    client: Client, venue: Venue, make: Any
) -> None:
    there = make(venue)
    model, name = type(there), there._meta.model_name
    elsewhere = make_venue()
    manager = sign_in(client, "manager", venue)
    add = reverse(f"admin:bookings_{name}_add")

    given = {"venue": venue.pk, "name": "Lob", "description": "", "in_use": "on"}
    assert manager.post(add, given).status_code == 302
    made = model.objects.get(name="Lob")
    assert (made.venue, made.retired_at) == (venue, None)
    # Not at a venue where they do not work.
    refused = manager.post(add, {**given, "venue": elsewhere.pk, "name": "Chip"})
    assert refused.status_code == 200
    assert not model.objects.filter(name="Chip").exists()


@pytest.mark.parametrize("name", ["Backhand", "BACKHAND", " backhand "])
def test_one_word_stands_once_at_a_venue(
    client: Client, venue: Venue, name: str
) -> None:
    make_skill(venue)
    other = make_skill(venue, "Lob")
    manager = sign_in(client, "manager", venue)

    added = manager.post(
        reverse("admin:bookings_skill_add"),
        {"venue": venue.pk, "name": name, "in_use": "on"},
    )
    renamed = manager.post(page_of(other), {"name": name, "in_use": "on"})

    for answer in (added, renamed):
        assert answer.status_code == 200
        assert "The venue has this already." in answer.content.decode()
    assert {*Skill.objects.values_list("name", flat=True)} == {"Backhand", "Lob"}
    make_skill(make_venue())  # another venue may have it


@pytest.mark.parametrize("make", [make_skill, make_drill])
def test_a_word_is_retired_and_comes_back_and_is_never_deleted(
    client: Client, venue: Venue, make: Any
) -> None:
    row = make(venue)
    manager = sign_in(client, "manager", venue)
    given = {"name": row.name, "description": "Two baskets."}

    assert manager.post(page_of(row), given).status_code == 302
    row.refresh_from_db()
    assert row.retired_at is not None
    manager.post(page_of(row), {**given, "in_use": "on"})
    row.refresh_from_db()
    assert row.retired_at is None

    delete = reverse(f"admin:bookings_{row._meta.model_name}_delete", args=[row.pk])
    assert manager.post(delete, {"post": "yes"}).status_code == 403
    assert type(row).objects.filter(pk=row.pk).exists()
    told = AuditEntry.objects.filter(subject_type=row._meta.model_name)
    assert [each.reason for each in told] == ["changed in use"] * 2


@pytest.mark.parametrize(("group", "sees"), [("support", 200), ("front_desk", 403)])
def test_others_do_not_change_the_words(
    client: Client, venue: Venue, group: str, sees: int
) -> None:
    skill = make_skill(venue)
    staff = sign_in(client, group, venue)

    assert staff.get(page_of(skill)).status_code == sees
    assert staff.post(page_of(skill), {"name": "Other"}).status_code == 403
    skill.refresh_from_db()
    assert skill.name == "Backhand"


def test_a_card_number_is_no_skill(client: Client, venue: Venue) -> None:
    manager = sign_in(client, "manager", venue)
    given = {"venue": venue.pk, "name": "4242424242424242", "in_use": "on"}

    answer = manager.post(reverse("admin:bookings_skill_add"), given)

    assert "No card numbers" in answer.content.decode()
    assert not Skill.objects.exists()


# --- The venue, and the budget ------------------------------------------------


def test_a_manager_opts_out_for_the_venue(client: Client, venue: Venue) -> None:
    """S28: notes of this venue go nowhere from then on."""
    manager = sign_in(client, "manager", venue)
    page = manager.get(page_of(venue))
    form = page.context["adminform"].form
    given = {name: form[name].value() or "" for name in form.fields}
    given |= {
        f"{each.formset.prefix}-{name}_FORMS": "0"
        for each in page.context["inline_admin_formsets"]
        for name in ("TOTAL", "INITIAL")
    }
    assert given.pop("enhances_notes") is True

    assert manager.post(page_of(venue), given).status_code == 302

    venue.refresh_from_db()
    assert venue.enhances_notes is False
    entry = AuditEntry.objects.get(subject_type="venue", action="venue.changed")
    assert entry.reason == "changed enhances notes"


@pytest.mark.parametrize(
    ("group", "status"),
    [("operations", 200), ("auditor", 200), ("support", 403), ("manager", 403)],
)
def test_the_budget_of_the_day_is_for_those_who_keep_it_running(
    client: Client, venue: Venue, group: str, status: int
) -> None:
    budget = TokenBudget.objects.create(day="2030-01-01", taken=1234)
    staff = sign_in(client, group, venue)

    page = staff.get(page_of(budget))
    assert page.status_code == status
    assert ("1234" in page.content.decode()) == (status == 200)
    assert staff.post(page_of(budget), {"taken": "0"}).status_code == 403
