"""Back office: who waits for a slot; staff may take somebody off the list."""

from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString

from bookings.admin.sales import SaleAdmin
from bookings.models import WaitlistEntry
from bookings.services import waitlist
from bookings.states import OPEN_ENTRIES
from recovery.backoffice import HISTORY, ActingAdmin, RowAction, Wish
from slotbase.lib.backoffice import OwnRowsFilter
from slotbase.lib.columns import format_link, venue_time


def _remove(entry: WaitlistEntry, wish: Wish) -> None:
    waitlist.remove_entry(entry_id=entry.pk, staff_id=wish.staff_id, reason=wish.reason)


@admin.register(WaitlistEntry)
class WaitlistAdmin(ActingAdmin[WaitlistEntry], SaleAdmin):
    """Who waits, who has an offer, and what became of it."""

    audit_subject, key_in_booking = "waitlistentry", "hold__waitlist_entry"
    list_display = (
        *("when", "resource", "venue", "customer"),
        *("units", "state", "joined", "offered"),
    )
    list_filter = ("status", ("resource__venue", OwnRowsFilter))
    fieldsets = (
        ("Slot", {"fields": ("state", "when", "resource", "units")}),
        ("Customer", {"fields": ("customer", *SaleAdmin.contact_fields, "reach")}),
        ("Messages", {"fields": ("messages",), "classes": ("history",)}),
        (
            "Life",
            {"fields": ("joined", "offered", "offer", "ended", "end_reason")},
        ),
        HISTORY,
    )
    joined = venue_time("joined_at", "joined")
    offered = venue_time("offered_at", "offered")
    ended = venue_time("ended_at", "ended")
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "remove": RowAction(
            "Remove from the list",
            "They wait no more. If the slot is kept for them, it goes to the next one"
            " at once.",
            "They are off the list.",
            "bookings.change_waitlistentry",
            _remove,
            lambda entry, _: entry.status in OPEN_ENTRIES,
            needs_reason=True,
        )
    }

    def row_actions(self, row: WaitlistEntry) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Taking them off the list."""
        return self.buttons

    @admin.display(description="offer")
    def offer(self, entry: WaitlistEntry) -> SafeString | str:
        """The hold that was offered."""
        if entry.hold is None:
            return self.get_empty_value_display()
        return format_link("bookings_bookinghold", entry.hold)
