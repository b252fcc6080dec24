"""Reads about messages, and about what they go to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet

from notifications.errors import DeviceNotFound
from notifications.models import Notification, PushDevice, SendBudget, Suppression
from notifications.states import (
    WENT_OUT,
    Channel,
    DeviceStatus,
    NotificationStatus,
)
from slotbase.lib.clock import Now
from slotbase.lib.ids import oldest_id

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: What became of messages, for people: each with the states that it stands for.
OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "sent": WENT_OUT,
    "delivered": (NotificationStatus.DELIVERED,),
    "bounced": (NotificationStatus.BOUNCED, NotificationStatus.COMPLAINED),
    "failed": (NotificationStatus.FAILED, NotificationStatus.UNKNOWN),
    "suppressed": (NotificationStatus.SUPPRESSED,),
}


@dataclass
class ChannelState:
    """How a channel is: what waits, and what became of what was queued lately.

    What is planned for later, such as a reminder, does not wait for anything.
    """

    waiting: int = 0
    planned: int = 0
    due: int = 0
    oldest_due: datetime | None = None
    unaddressed: int = 0
    #: By outcome: of the last hour, and of the last day.
    lately: dict[str, tuple[int, int]] = field(default_factory=dict)


def count_devices(user_id: UUID) -> int:
    """To how many devices of somebody messages are pushed."""
    devices = PushDevice.objects.filter(user_id=user_id, status=DeviceStatus.ACTIVE)
    return devices.count()


def read_channels() -> dict[Channel, ChannelState]:
    """How each channel is: two statements, each by an index."""
    states = {channel: ChannelState() for channel in Channel}
    for channel, waiting, planned, due, oldest_due, unaddressed in list_waiting():
        state = ChannelState(waiting, planned, due, oldest_due, unaddressed)
        states[Channel(channel)] = state
    counts = list_lately()
    for channel, state in states.items():
        mine = [row for row in counts if row[0] == channel]
        state.lately = {
            outcome: (
                sum(hour for _, status, hour, _ in mine if status in statuses),
                sum(day for _, status, _, day in mine if status in statuses),
            )
            for outcome, statuses in OUTCOMES.items()
        }
    return states


def list_waiting() -> list[tuple[str, int, int, int, datetime | None, int]]:
    """For each channel, in the order of `ChannelState`: what is not over yet."""
    waiting = Notification.objects.filter(next_run_at__isnull=False)
    # One that failed before it was begun is pending as well, and has an error.
    is_planned = Q(
        status=NotificationStatus.PENDING, next_run_at__gt=Now(), last_error=""
    )
    is_due = Q(next_run_at__lte=Now())
    is_unaddressed = Q(status=NotificationStatus.WAITING_FOR_ADDRESS)
    return list(
        waiting.values_list("channel").annotate(
            waiting=Count("pk", filter=~is_planned),
            planned=Count("pk", filter=is_planned),
            due=Count("pk", filter=is_due),
            oldest_due=Min("next_run_at", filter=is_due),
            unaddressed=Count("pk", filter=is_unaddressed),
        )
    )


def list_lately() -> list[tuple[str, str, int, int]]:
    """By channel and state: how many of the last hour, and of the last day."""
    # Ids begin with their time, so the primary key finds them.
    queued = Notification.objects.filter(pk__gte=oldest_id(DAY))
    is_of_the_hour = Q(pk__gte=oldest_id(HOUR))
    return list(
        queued.values_list("channel", "status").annotate(
            hour=Count("pk", filter=is_of_the_hour), day=Count("pk")
        )
    )


def list_budgets() -> dict[str, SendBudget]:
    """The budget of each provider that has one."""
    return {budget.provider: budget for budget in SendBudget.objects.all()}


def count_suppressed() -> int:
    """How many addresses take no mail now."""
    return Suppression.objects.filter(lifted_at__isnull=True).count()


def count_devices_by_state() -> dict[str, int]:
    """How many devices are in each state."""
    return dict(PushDevice.objects.values_list("status").annotate(number=Count("pk")))


def list_devices(user_id: UUID) -> QuerySet[PushDevice]:
    """The devices of somebody that messages are pushed to, without their tokens."""
    mine = PushDevice.objects.filter(user=user_id, status=DeviceStatus.ACTIVE)
    return mine.defer("sealed_token", "token_hash")


def get_device(device_id: UUID, *, user_id: UUID) -> PushDevice:
    """A device of somebody, whatever became of it.

    Raises:
        DeviceNotFound: there is none, or it is another one's.
    """
    mine = PushDevice.objects.filter(user=user_id).defer("sealed_token", "token_hash")
    if (device := mine.filter(pk=device_id).first()) is None:
        raise DeviceNotFound
    return device
