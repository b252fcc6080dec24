"""Back office: messages to people, and how sending them went. Read-only."""

from datetime import UTC, tzinfo
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications.models import Notification, NotificationAttempt
from notifications.services import desk
from notifications.services.undeliverable import KIND
from recovery import cases
from recovery.admin.actions import MAY_CLOSE, is_free_for, register_actions
from recovery.backoffice import (
    HISTORY,
    AuditedAdmin,
    RecentValuesFilter,
    RowAction,
    Wish,
    format_subject,
)
from recovery.models import Case
from slotbase.lib.backoffice import BackOfficeInline, OwnRowsFilter
from slotbase.lib.columns import badge, format_link, venue_time


class TemplateFilter(RecentValuesFilter):
    title, parameter_name = "message", "template"


class AttemptInline(BackOfficeInline[NotificationAttempt, Notification]):
    """Every call of the provider, and what came out of it."""

    model = NotificationAttempt
    fields = readonly_fields = ("number", "outcome", "code", "made")
    max_num = 0
    ordering = ("number",)
    verbose_name_plural = "attempts"
    made = venue_time("at", "when")

    def zone_of(self, row: NotificationAttempt) -> tzinfo:
        """That of its message."""
        return _zone_of(row.notification)


@admin.register(Notification)
class NotificationAdmin(AuditedAdmin[Any]):
    """Mails: who was told what, and whether it arrived."""

    audit_subject = "notification"
    venue_path = "venue"
    private_fields = ("address_snapshot", "text")
    list_display = (
        *("what", "recipient", "reference", "state", "queued"),
        *("sent", "attempts", "next_attempt", "last_error"),
    )
    list_filter = ("status", TemplateFilter, ("venue", OwnRowsFilter))
    list_select_related = ("recipient", "venue")
    ordering = ("-pk",)
    # Sorting by any other column would read all rows.
    sortable_by = ()
    fieldsets = (
        (
            "Message",
            {"fields": ("what", "state", "recipient", "address_snapshot", "text")},
        ),
        ("About", {"fields": ("subject", "reference", "venue", "case")}),
        (
            "Sending",
            {
                "fields": (
                    *("queued", "not_after", "attempts", "deaths", "next_attempt"),
                    *("last_error", "unsure", "sent", "provider_id"),
                )
            },
        ),
        HISTORY,
    )
    inlines = (AttemptInline,)
    state = badge("status")
    queued, sent = venue_time("created_at", "queued"), venue_time("sent_at", "sent")
    next_attempt = venue_time("next_run_at", "next attempt")
    unsure = venue_time("unsure_since", "may have gone out since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Texts are on the page of a mail only."""
        return super().get_queryset(request).defer("rendered", "context")

    def zone_of(self, row: Notification) -> tzinfo:
        """Its venue's, if it has one."""
        return _zone_of(row)

    @admin.display(description="message")
    def what(self, row: Notification) -> str:
        """The template in words."""
        return row.template.replace("_", " ").capitalize()

    @admin.display(description="subject")
    def subject(self, row: Notification) -> SafeString | str:
        """What it is about."""
        return format_subject(row)

    @admin.display(description="text")
    def text(self, row: Notification) -> SafeString | str:
        """What was written, as long as it is kept."""
        if row.rendered is None:
            return self.get_empty_value_display()
        subject, text = row.rendered["subject"], row.rendered["text"]
        return format_html('<pre class="payload">{}\n\n{}</pre>', subject, text)

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


# --- Cases ----------------------------------------------------------------------


def _resend(case: Any, wish: Wish) -> None:
    cases.require_free(case_id=case.pk, staff_id=wish.staff_id, version=wish.version)
    desk.resend(message_id=UUID(case.subject_id), staff_id=wish.staff_id)


def _called(case: Any, wish: Wish) -> None:
    desk.told_otherwise(
        message_id=UUID(case.subject_id),
        case_id=case.pk,
        staff_id=wish.staff_id,
        version=wish.version,
        reason=wish.reason,
    )


def _can_be_resent(case: Any, staff_id: UUID) -> bool:
    message = Notification.objects.filter(pk=case.subject_id).first()
    is_given_up = message is not None and desk.can_be_sent_again(message)
    return is_given_up and is_free_for(case, staff_id)


register_actions(
    KIND,
    resend=RowAction(
        "Send it again",
        "Sends it anew, to the address on the customer's page. One that is unknown may"
        " arrive twice. If this one fails as well, it has a case of its own.",
        "It is sent again within seconds.",
        MAY_CLOSE,
        _resend,
        _can_be_resent,
    ),
    called=RowAction(
        "I told the customer",
        "Closes the case; if the message still waits, it is not sent any more. Say how"
        " you told them.",
        "It is noted that the customer knows.",
        MAY_CLOSE,
        _called,
        is_free_for,
        needs_reason=True,
    ),
)
