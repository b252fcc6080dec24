"""What somebody was told, as a list for the pages of bookings, entries and people."""

from datetime import UTC
from typing import Any

from django.db.models import Q, QuerySet
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from notifications.models import Notification
from recovery.backoffice import say_action
from recovery.models import AuditEntry
from slotbase.lib.backoffice import sees_all_venues
from slotbase.lib.columns import format_link, format_moment, format_state

SHOWN = 50


def show_messages_about(*rows: tuple[str, Any], **only: Any) -> SafeString:
    """The messages about any of these, `("booking", booking.pk)`: `only` some."""
    about = Q(pk=None)
    for subject_type, subject_id in rows:
        about |= Q(subject_type=subject_type, subject_id=str(subject_id))
    return _show(Notification.objects.filter(about, **only))


def show_messages_to(person: Any) -> SafeString:
    """The messages to somebody, of the venues that whoever reads their page sees."""
    messages = Notification.objects.filter(recipient=person)
    reader = getattr(person, "seen_by", None)
    if reader is None:
        messages = messages.none()
    elif not sees_all_venues(reader):
        messages = messages.filter(venue__in=reader.venues.all())
    return _show(messages)


def _show(messages: QuerySet[Notification]) -> SafeString:
    """The newest ones, in the order in which they were queued."""
    newest = messages.select_related("venue", "device").defer("rendered", "context")
    shown = list(newest.order_by("-pk")[:SHOWN])[::-1]
    last = _last_moves(shown)
    lines = [_line(message, last.get(str(message.pk))) for message in shown]
    context = {"lines": lines, "is_cut": len(shown) == SHOWN}
    return render_to_string("admin/messages.html", context)


def _last_moves(messages: list[Notification]) -> dict[str, AuditEntry]:
    ids = [str(message.pk) for message in messages]
    about = AuditEntry.objects.filter(subject_type="notification", subject_id__in=ids)
    moves = about.exclude(to_state="").order_by("id")
    return {entry.subject_id: entry for entry in moves}


def _line(message: Notification, last: AuditEntry | None) -> dict[str, Any]:
    zone = message.venue.zone if message.venue else UTC
    words = say_action(message.template)
    due = message.next_run_at
    return {
        "link": format_link("notifications_notification", message, words),
        "channel": message.get_channel_display().lower(),
        "device": str(message.device or ""),
        "state": format_state(message.status),
        "since": format_moment(last.at if last else message.created_at, zone),
        "next": format_moment(due, zone) if due else "",
        "why": (last.reason if last else "") or message.last_error,
    }
