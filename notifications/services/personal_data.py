"""What notifications keeps of a person: what they were told, where, and by choice."""

from collections.abc import Iterator
from uuid import UUID

from notifications.locks import lock_devices_of, lock_open_messages_to
from notifications.models import Choice, Notification, PushDevice, Suppression
from notifications.services import device_retention, devices
from notifications.services.messages import UNWRITTEN, withdraw_locked
from notifications.states import DEVICE_MOVES, DeviceStatus, NotificationStatus
from recovery import audit
from recovery.personal import Traces
from slotbase.accounts.services.personal_data import Part, Sections, register
from slotbase.lib.db import transaction_required
from slotbase.lib.masking import ERASED

BY = audit.Actor.system("erasures")


def _export(traces: Traces) -> Sections:
    messages = Notification.objects.filter(recipient=traces.user_id).order_by("pk")
    owned = {"user": traces.user_id}
    return {
        "messages": messages.values(
            *("id", "channel", "template", "status", "reference", "created_at"),
            *("sent_at", "context", "rendered", "address_snapshot", "because"),
        ),
        "devices": PushDevice.objects.filter(**owned)
        .order_by("pk")
        .values(
            "id", "platform", "app_version", "status", "created_at", "last_seen_at"
        ),
        "choices": Choice.objects.filter(**owned)
        .order_by("pk")
        .values("topic", "channel", "is_wanted", "changed_at"),
        "suppressions": Suppression.objects.filter(**owned)
        .order_by("pk")
        .values("reason", "detail", "created_at", "lifted_at", "lifted_because"),
    }


@transaction_required
def _leave(user_id: UUID) -> None:
    """They hear of nothing any more."""
    withdraw_locked(lock_open_messages_to(user_id))


@transaction_required
def _erase(traces: Traces) -> None:
    """That they were told stays, without the text and where to.

    Of what its text was made names nobody, and is of machines: it stays.
    One that is on its way at this moment is not tried again.
    """
    _leave(traces.user_id)
    told = Notification.objects.filter(recipient=traces.user_id)
    sending = told.filter(status=NotificationStatus.SENDING)
    sending.update(rendered=UNWRITTEN)
    told.exclude(status=NotificationStatus.SENDING).update(rendered=None)
    told.update(address_snapshot="", because="")
    _forget_devices(traces.user_id)
    Choice.objects.filter(user=traces.user_id).delete()
    _forget_suppressions(traces)


@transaction_required
def _forget_devices(user_id: UUID) -> None:
    owned = lock_devices_of(user_id)
    for device in owned:
        if DeviceStatus.REVOKED in DEVICE_MOVES[device.status]:
            devices.end(device, DeviceStatus.REVOKED, why="erased", actor=BY)
    device_retention.forget([device.pk for device in owned])


@transaction_required
def _forget_suppressions(traces: Traces) -> None:
    """The address is not in it. Whoever complained is not written to, whoever it is."""
    theirs = Suppression.objects.filter(user=traces.user_id)
    theirs.exclude(lifted_because="").update(lifted_because=ERASED)
    theirs.update(user=None, detail="")


def _ids(user_id: UUID) -> Iterator[str]:
    """Of what Resend took for them."""
    told = Notification.objects.filter(recipient=user_id)
    for ours, resends in told.values_list("pk", "provider_id"):
        yield from filter(None, (str(ours), resends))


register(
    Part(
        name="notifications",
        holds={
            "notifications.Notification": frozenset(
                {"rendered", "address_snapshot", "because"}
            ),
            "notifications.PushDevice": frozenset(
                {"sealed_token", "token_hash", "app_version"}
            ),
            "notifications.Suppression": frozenset({"detail", "lifted_because"}),
        },
        export=_export,
        erase=_erase,
        leave=_leave,
        ids=_ids,
    )
)
