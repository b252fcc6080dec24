"""Buttons on the cases of bookings."""

from collections.abc import Mapping
from typing import Any

from bookings.models import Booking
from payments.admin.refunds import show_refund
from payments.queries import list_refunds
from recovery.admin.actions import MAY_CLOSE, actions_of_a_run, register_actions
from recovery.admin.cases import Background, register_background
from recovery.models import WorkflowRun
from slotbase.lib.columns import format_link, format_state


def facts_of_cancellation(case: Any) -> Mapping[str, Any]:
    """How far the cancellation is: booking, refunds and steps."""
    run = WorkflowRun.objects.filter(pk=case.subject_id).first()
    if run is None:
        return {}
    booking = Booking.objects.select_related("payable").get(pk=run.subject_id)
    return {
        "Booking": format_link("bookings_booking", booking),
        "It is": format_state(booking.status),
        "Refunds": [show_refund(each) for each in list_refunds(booking.payable)],
        "Steps": [f"{each}: {each.status.lower()}" for each in run.timeline()],
        "All about the steps": format_link("recovery_workflowrun", run),
    }


register_background(Background(facts_of_cancellation), "cancellation_failed")
register_actions("cancellation_failed", **actions_of_a_run(MAY_CLOSE))
