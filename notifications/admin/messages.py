"""Back office: messages to people, how sending them went, and how to send one again."""

from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from notifications.admin.reach import format_reach
from notifications.admin.words import show_words
from notifications.models import Notification, NotificationAttempt
from notifications.services import desk
from notifications.services.repeats import (
    id_of_repeated,
    key_again,
    why_not_again,
)
from notifications.services.undeliverable import fingerprint_of
from notifications.states import WENT_OUT, NotificationStatus
from recovery import cases
from recovery.admin.actions import MAY_CLOSE
from recovery.backoffice import (
    HISTORY,
    ActingAdmin,
    RowAction,
    Step,
    Wish,
    format_subject,
    say_action,
)
from recovery.lists import RecentValuesFilter
from recovery.models import Case
from slotbase.lib.backoffice import OwnRowsFilter
from slotbase.lib.columns import badge, contact, format_link, venue_time


class TemplateFilter(RecentValuesFilter):
    title, parameter_name = "message", "template"


def _send_again(message: Notification, wish: Wish) -> None:
    cases.require_unclaimed(fingerprint_of(message), staff_id=wish.staff_id)
    desk.resend(message_id=message.pk, staff_id=wish.staff_id, reason=wish.reason)


_RESEND = RowAction[Any](
    "Send it again",
    "Sends it anew, as a message of its own, to where the customer can be reached now.",
    "It is sent again within seconds.",
    MAY_CLOSE,
    _send_again,
    lambda message, _: not why_not_again(message),
    needs_reason=True,
    why_not=lambda message, _: why_not_again(message),
)
#: Its provider took it and did not tell that it came back; or nobody knows.
_MAY_HAVE_ARRIVED = {
    *WENT_OUT,
    NotificationStatus.UNKNOWN,
} - {NotificationStatus.BOUNCED}
_ARRIVES_TWICE = (
    "It may have arrived already: then the customer gets it twice. Sends it anew, as a"
    " message of its own, to where they can be reached now."
)


@admin.register(Notification)
class NotificationAdmin(ActingAdmin[Any]):
    """Mails and pushes: who was told what, and whether it arrived."""

    audit_subject = "notification"
    venue_path = "venue"
    private_fields = ("text",)
    list_display = (
        *("what", "channel", "recipient", "reference", "state", "queued"),
        *("sent", "attempts", "next_attempt", "last_error"),
    )
    list_filter = ("status", "channel", TemplateFilter, ("venue", OwnRowsFilter))
    list_select_related = ("recipient", "venue")
    ordering = ("-pk",)
    # Sorting by any other column would read all rows.
    sortable_by = ()
    fieldsets = (
        (
            "Message",
            {
                "fields": (
                    *("what", "channel", "state", "recipient", "reach"),
                    *("device", "address", "text"),
                )
            },
        ),
        ("About", {"fields": ("subject", "reference", "venue", "case", "others")}),
        (
            "Sending",
            {
                "fields": (
                    *("queued", "because", "until", "attempts", "deaths"),
                    *("next_attempt", "last_error", "unsure", "sent", "provider_id"),
                )
            },
        ),
        HISTORY,
    )
    state, address = badge("status"), contact("address_snapshot", "address")
    queued, sent = venue_time("created_at", "queued"), venue_time("sent_at", "sent")
    next_attempt = venue_time("next_run_at", "next attempt")
    until = venue_time("not_after", "nobody wants it from")
    unsure = venue_time("unsure_since", "may have gone out since")

    def row_actions(self, row: Notification) -> dict[str, RowAction[Any]]:
        """Sending it again, with a warning if it may have arrived."""
        if row.status not in _MAY_HAVE_ARRIVED:
            return {"resend": _RESEND}
        return {"resend": replace(_RESEND, says=_ARRIVES_TWICE)}

    def whose_contact_data(self, row: Notification) -> tuple[str, Any]:
        """The recipient's."""
        return "user", row.recipient_id

    def more_steps(self, row: Notification) -> list[Step]:
        """Each call of the provider, and what came out of it."""
        return [
            Step(
                at=each.at,
                words=f"Attempt {each.number}: {say_action(each.outcome).lower()}",
                by=row.channel.lower(),
                reason=each.code,
            )
            for each in NotificationAttempt.objects.filter(notification=row)
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Texts are on the page of a mail only."""
        return super().get_queryset(request).defer("rendered", "context")

    def zone_of(self, row: Notification) -> tzinfo:
        """Its venue's, if it has one."""
        return _zone_of(row)

    @admin.display(description="message")
    def what(self, row: Notification) -> str:
        """The template in words."""
        return say_action(row.template)

    @admin.display(description="subject")
    def subject(self, row: Notification) -> SafeString | str:
        """What it is about."""
        return format_subject(row)

    @admin.display(description="text")
    def text(self, row: Notification) -> SafeString | str:
        """What was written, as long as it is kept; else what would be."""
        return show_words(row)

    @admin.display(description="their mails")
    def reach(self, row: Notification) -> SafeString:
        """Whether mails reach the recipient now."""
        return format_reach(row.recipient)

    @admin.display(description="sent again")
    def others(self, row: Notification) -> SafeString | str:
        """The message that this one repeats, and the one that repeats it."""
        linked = Q(dedupe_key__startswith=key_again(row))
        linked |= Q(pk=id_of_repeated(row) or None)
        found = Notification.objects.filter(linked).order_by("id")
        links = [(format_link("notifications_notification", each),) for each in found]
        return format_html_join(", ", "{}", links) or self.get_empty_value_display()

    @admin.display(description="case")
    def case(self, row: Notification) -> SafeString | str:
        """The newest case about it."""
        about = Case.objects.filter(subject_type=row.subject(), subject_id=str(row.pk))
        case = about.order_by("-id").first()
        if case is None:
            return self.get_empty_value_display()
        return format_link("recovery_case", case)


def _zone_of(message: Notification) -> tzinfo:
    return message.venue.zone if message.venue else UTC
