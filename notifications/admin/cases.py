"""Back office: buttons of the case about a message that did not arrive."""

from typing import Any
from uuid import UUID

from notifications.models import Notification
from notifications.services import desk
from notifications.services.repeats import why_not_again
from notifications.services.undeliverable import KIND
from recovery import cases
from recovery.admin.actions import MAY_CLOSE, is_free_for, register_actions
from recovery.backoffice import RowAction, Wish


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
    is_given_up = message is not None and not why_not_again(message)
    return is_given_up and is_free_for(case, staff_id)


def _why_not(case: Any, staff_id: UUID) -> str:
    message = Notification.objects.filter(pk=case.subject_id).first()
    is_asked = message is not None and is_free_for(case, staff_id)
    return why_not_again(message) if message and is_asked else ""


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
        why_not=_why_not,
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
