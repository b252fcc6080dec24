"""Back office: what coaches wrote, what became of it, and the budget of the day."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from bookings.models import Drill, SessionFeedback, Skill, TokenBudget
from bookings.queries import list_taught
from bookings.services import feedback
from bookings.services.proposal import write_names
from bookings.states import EnhancementStatus
from notifications.admin.timeline import show_messages_about
from recovery.backoffice import HISTORY, ActingAdmin, RowAction, Wish
from slotbase.lib.backoffice import MIN_SEARCH_LENGTH, BackOfficeAdmin, OwnRowsFilter
from slotbase.lib.columns import badge, format_link, venue_time
from slotbase.lib.ids import as_reference

#: Nothing more comes of these by itself.
_NOT_ENHANCED = (
    EnhancementStatus.DEGRADED,
    EnhancementStatus.SKIPPED,
    EnhancementStatus.FAILED,
)


def _can_ask_again(row: SessionFeedback) -> bool:
    took_place = row.booking.status in feedback.TOOK_PLACE
    return took_place and row.status in _NOT_ENHANCED


def _ask_again(row: SessionFeedback, wish: Wish) -> None:
    feedback.ask_again_as_staff(feedback_id=row.pk, staff_id=wish.staff_id)


@admin.register(SessionFeedback)
class FeedbackAdmin(ActingAdmin[SessionFeedback]):
    """What coaches wrote after a session, and what became of it."""

    audit_subject = SessionFeedback.subject()
    venue_path = "booking__resource__venue"
    list_display = ("reference", "venue", "coach", "state", "reason", "asked")
    list_filter = (
        *("status", "fallback_reason"),
        ("booking__resource__venue", OwnRowsFilter),
    )
    list_select_related = ("booking__resource__venue", "coach")
    # Says that there is a search; `get_search_results` is what it does.
    search_fields = ("booking__reference",)
    search_help_text = "Reference of the booking"
    fieldsets = (
        (
            "Session",
            {"fields": ("booking_page", "resource", "coach", "customer", "asked")},
        ),
        ("What the coach wrote", {"fields": ("written", "words")}),
        (
            "What was made of it",
            {"fields": ("state", "reason", "made", "enhanced", "skills_", "drills_")},
        ),
        (
            "What the customer reads",
            {
                "fields": (
                    *("accepted", "accepted_words"),
                    *("accepted_skills_", "accepted_drills_"),
                )
            },
        ),
        ("Messages", {"fields": ("messages",), "classes": ("history",)}),
        HISTORY,
    )
    state, asked = badge("status"), venue_time("asked_at", "asked")
    written = venue_time("created_at", "written")
    made = venue_time("enhanced_at", "made")
    accepted = venue_time("accepted_at", "accepted")
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "ask_again": RowAction(
            "Ask again",
            "The notes are sent once more to be enhanced, without names in them. What"
            " the customer reads stays as it is until the coach accepts it.",
            "It is asked for again.",
            "bookings.change_sessionfeedback",
            _ask_again,
            lambda row, _: _can_ask_again(row),
        )
    }

    def row_actions(self, row: SessionFeedback) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Asking again."""
        return self.buttons

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the beginning of a reference."""
        if len(search_term.strip()) < MIN_SEARCH_LENGTH:
            return super().get_search_results(request, queryset, search_term)
        reference = as_reference(search_term)
        return queryset.filter(booking__reference__startswith=reference), False

    @admin.display(description="booking")
    def reference(self, row: SessionFeedback) -> str:
        """Its name for people."""
        return row.booking.reference

    @admin.display(description="booking")
    def booking_page(self, row: SessionFeedback) -> SafeString:
        """The session that it is about."""
        booking = row.booking
        return format_link("bookings_booking", booking, booking.reference)

    @admin.display(description="resource")
    def resource(self, row: SessionFeedback) -> str:
        """What was booked."""
        return str(row.booking.resource)

    @admin.display(description="customer")
    def customer(self, row: SessionFeedback) -> str:
        """Whom it is about."""
        return str(row.booking.customer)

    @admin.display(description="venue", ordering="booking__resource__venue__name")
    def venue(self, row: SessionFeedback) -> str:
        """Where it was."""
        return str(row.booking.resource.venue)

    @admin.display(description="reason", ordering="fallback_reason")
    def reason(self, row: SessionFeedback) -> str:
        """Why it is not enhanced, in our words."""
        words: str = row.get_fallback_reason_display()
        return words or self.get_empty_value_display()

    @admin.display(description="notes")
    def words(self, row: SessionFeedback) -> SafeString:
        """As they were written."""
        return self._text(row.notes)

    @admin.display(description="text")
    def enhanced(self, row: SessionFeedback) -> SafeString:
        """What the model made of them."""
        return self._text(write_names(row.enhanced_text, row))

    @admin.display(description="skills")
    def skills_(self, row: SessionFeedback) -> str:
        """Those that the model named."""
        return self._names(list_taught(Skill, row.skills))

    @admin.display(description="drills")
    def drills_(self, row: SessionFeedback) -> str:
        """Those that the model named."""
        return self._names(list_taught(Drill, row.drills))

    @admin.display(description="text")
    def accepted_words(self, row: SessionFeedback) -> SafeString:
        """What the coach accepted."""
        return self._text(row.accepted_text)

    @admin.display(description="skills")
    def accepted_skills_(self, row: SessionFeedback) -> str:
        """Those that the coach accepted."""
        return self._names(list_taught(Skill, row.accepted_skills))

    @admin.display(description="drills")
    def accepted_drills_(self, row: SessionFeedback) -> str:
        """Those that the coach accepted."""
        return self._names(list_taught(Drill, row.accepted_drills))

    @admin.display(description="messages")
    def messages(self, row: SessionFeedback) -> SafeString:
        """What the customer was told about it."""
        about = ("booking", row.booking_id)
        return show_messages_about(about, template=feedback.READY)

    def _text(self, words: str) -> SafeString:
        """A text of people or of a model, with its line breaks, escaped."""
        shown = words or self.get_empty_value_display()
        return format_html('<div class="said">{}</div>', shown)

    def _names(self, named: Iterable[Skill | Drill]) -> str:
        names = ", ".join(each.name for each in named)
        return names or self.get_empty_value_display()


@admin.register(TokenBudget)
class TokenBudgetAdmin(BackOfficeAdmin[TokenBudget]):
    """The tokens that each day took, for all venues; AI_DAILY_TOKENS says how many."""

    list_display = ("day", "taken")
    fieldsets = (("Budget", {"fields": ("day", "taken")}),)
