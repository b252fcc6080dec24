"""Back office: our money beside Stripe's, and a database that was restored."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import F, Q

from payments.models import ReconciledDay, Reconciliation
from payments.queries import get_standing
from payments.services import reconcile_desk
from recovery import audit, cases, senders
from recovery.admin.actions import FOR_EVERY_CASE, is_free_for, register_actions
from recovery.admin.cases import Background, register_background
from recovery.backoffice import HISTORY, ActingAdmin, RowAction, Wish
from slotbase.lib.backoffice import BackOfficeAdmin, ConditionFilter
from slotbase.lib.columns import money, venue_time
from slotbase.lib.errors import InvalidState

MAY_RECONCILE = "payments.change_reconciliation"


def _ask(_: Any, wish: Wish) -> None:
    reconcile_desk.ask_reconcile(actor=audit.Actor.staff(wish.staff_id))


RECONCILE_NOW = RowAction[Any](
    "Reconcile now",
    "Compares events, payments and refunds with Stripe from the beginning. What Stripe"
    " has and we do not is recorded, or stands in a case; what can still be paid and is"
    " unknown here is called off. Takes minutes.",
    "Stripe is being compared: look again in a few minutes.",
    MAY_RECONCILE,
    _ask,
)


@admin.register(Reconciliation)
class ReconciliationAdmin(ActingAdmin[Reconciliation]):
    """What is compared with Stripe: events every hour, all money once a day."""

    audit_subject = "reconciliation"
    list_display = ("name", "how", "read", "next_turn", "last_error")
    ordering = ("name",)
    fieldsets = (
        (
            "Comparison",
            {"fields": ("name", "how", "read", "asked", "next_turn", "last_error")},
        ),
        HISTORY,
    )
    read = venue_time("read_at", "compared as of")
    asked = venue_time("asked_at", "asked for")
    next_turn = venue_time("next_run_at", "next turn")

    def row_actions(self, row: Reconciliation) -> Mapping[str, RowAction[Any]]:  # noqa: ARG002 - the same for all
        """All are compared together."""
        return {"reconcile": RECONCILE_NOW}

    @admin.display(description="how it stands")
    def how(self, row: Reconciliation) -> str:
        """In words."""
        return row.says


class AgreementFilter(ConditionFilter):
    """Days on which our sum is not Stripe's."""

    title = parameter_name = "agreement"
    conditions = {
        "differs": ("Differs", ~Q(ours_minor=F("stripe_minor"))),
        "agrees": ("Agrees", Q(ours_minor=F("stripe_minor"))),
    }


@admin.register(ReconciledDay)
class ReconciledDayAdmin(BackOfficeAdmin[ReconciledDay]):
    """Our sums and Stripe's, by day and currency, as last compared."""

    list_display = (
        *("day", "name", "currency", "ours", "theirs", "difference"),
        *("objects_seen", "verdict"),
    )
    list_filter: ClassVar[Any] = ("name", AgreementFilter)
    ordering = ("-day", "name", "currency")
    ours = money("ours_minor", label="ours")
    theirs = money("stripe_minor", label="Stripe's")
    difference = money("difference_minor", label="difference")

    @admin.display(description="verdict")
    def verdict(self, day: ReconciledDay) -> str:
        """Whether somebody has to look."""
        return "differs" if day.difference_minor else "agrees"


# --- The case of a restored database -------------------------------------------------


def _reconcile(case: Any, wish: Wish) -> None:
    cases.require_free(case_id=case.pk, staff_id=wish.staff_id, version=wish.version)
    _ask(case, wish)


def _resume(case: Any, wish: Wish) -> None:
    reconcile_desk.resume_senders(
        case_id=case.pk,
        staff_id=wish.staff_id,
        version=wish.version,
        reason=wish.reason,
    )


def _can_resume(case: Any, staff_id: UUID) -> bool:
    return is_free_for(case, staff_id) and reconcile_desk.may_resume()


def _refuse(_case: Any, _wish: Wish) -> None:
    raise InvalidState("Reconcile, then resume: nothing else ends it.")


def _never(_case: Any, _staff_id: UUID) -> bool:
    return False


def _how_it_stands(_: Any) -> dict[str, Any]:
    """The comparisons, and the days that differ."""
    standing = get_standing()
    differing = [str(day) for day in standing.days if day.difference_minor]
    return {
        **{row.name: row.says for row in standing.rows},
        "days that differ": differing,
        "senders may be resumed": "yes" if reconcile_desk.may_resume() else "not yet",
    }


register_background(Background(_how_it_stands), senders.RESTORED)
register_actions(
    senders.RESTORED,
    reconcile=replace(RECONCILE_NOW, run=_reconcile, is_offered=is_free_for),
    resolve=replace(
        FOR_EVERY_CASE["resolve"],
        label="Resume senders",
        says="Lets refunds, card payments and mails go on, and closes the case. Only"
        " after Stripe was reconciled; look at what came of it before. Say why.",
        done="Senders go on.",
        permission=MAY_RECONCILE,
        run=_resume,
        is_offered=_can_resume,
    ),
    discard=replace(FOR_EVERY_CASE["discard"], run=_refuse, is_offered=_never),
)
