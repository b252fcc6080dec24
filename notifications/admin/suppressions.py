"""Back office: addresses that take no mail, and how one is taken off that list."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from notifications.admin.reach import format_reach
from notifications.models import Suppression
from notifications.services import suppression
from recovery.backoffice import HISTORY, ActingAdmin, RowAction, Wish
from slotbase.lib.backoffice import ConditionFilter
from slotbase.lib.columns import badge, format_state, venue_time


class InForceFilter(ConditionFilter):
    title, parameter_name = "state", "state"
    conditions = {
        "suppressed": ("No mail is sent", Q(lifted_at__isnull=True)),
        "lifted": ("Lifted", Q(lifted_at__isnull=False)),
    }


def _lift(row: Suppression, wish: Wish) -> None:
    suppression.lift(suppression_id=row.pk, staff_id=wish.staff_id, reason=wish.reason)


@admin.register(Suppression)
class SuppressionAdmin(ActingAdmin[Suppression]):
    """Whose mails came back or were complained of; the address itself is not here."""

    audit_subject = "suppression"
    list_display = ("__str__", "state", "user", "suppressed", "lifted")
    list_filter = (InForceFilter, "reason")
    list_select_related = ("user",)
    ordering = ("-pk",)
    sortable_by = ()
    fieldsets = (
        (
            "Address",
            {"fields": ("state", "user", "reach", "why", "detail", "suppressed")},
        ),
        ("Lifted", {"fields": ("lifted", "lifted_by", "lifted_because")}),
        HISTORY,
    )
    why = badge("reason")
    suppressed = venue_time("created_at", "since")
    lifted = venue_time("lifted_at", "lifted")
    buttons: ClassVar[dict[str, RowAction[Any]]] = {
        "lift": RowAction(
            "Send mails there again",
            "Mails go to this address again from now on. If they come back once more,"
            " it is on the list again. What was not sent meanwhile stays unsent.",
            "Mails are sent there again.",
            "notifications.change_suppression",
            _lift,
            lambda row, _: row.lifted_at is None,
            needs_reason=True,
        )
    }

    def row_actions(self, row: Suppression) -> dict[str, RowAction[Any]]:  # noqa: ARG002
        """Taking it off the list."""
        return self.buttons

    @admin.display(description="state")
    def state(self, row: Suppression) -> SafeString:
        """Whether mails are sent there."""
        return format_state("SUPPRESSED" if row.lifted_at is None else "LIFTED")

    @admin.display(description="their mails")
    def reach(self, row: Suppression) -> SafeString | str:
        """Whether mails reach whoever had the address: they may have another by now."""
        return format_reach(row.user) if row.user else self.get_empty_value_display()
