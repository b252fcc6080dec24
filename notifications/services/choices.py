"""What people want to hear of: each optional topic, by each channel."""

from collections.abc import Iterable
from uuid import UUID

from notifications.kinds import ALWAYS, KINDS, Kind, Topic
from notifications.models import Choice, Notification
from notifications.states import Channel
from recovery import audit
from slotbase.lib.clock import Now
from slotbase.lib.db import retry_on_conflict
from slotbase.lib.errors import ValidationFailed

ALWAYS_GOES = "Everybody is told of money and cancellations."


@retry_on_conflict
def choose(
    *,
    user_id: UUID,
    topic: Topic,
    channel: Channel,
    is_wanted: bool,
    actor: audit.Actor,
    reason: str = "",
) -> None:
    """Note whether somebody wants to hear of a topic by a channel; again is harmless.

    Raises:
        ValidationFailed: everybody is told of this topic.
    """
    if topic in ALWAYS:
        raise ValidationFailed(topic=ALWAYS_GOES)
    if is_wanted == wants(user_id=user_id, topic=topic, channel=channel):
        return
    Choice.objects.bulk_create(
        [
            Choice(
                user_id=user_id,
                topic=topic,
                channel=channel,
                is_wanted=is_wanted,
                changed_at=Now(),
            )
        ],
        update_conflicts=True,
        unique_fields=["user", "topic", "channel"],
        update_fields=["is_wanted", "changed_at"],
    )
    audit.record(
        actor=actor,
        action=f"user.{'subscribed' if is_wanted else 'unsubscribed'}",
        subject="user",
        ids=[user_id],
        reason=f"{topic.label} by {channel.lower()}. {reason}".strip(),
    )


def wants(*, user_id: UUID, topic: Topic, channel: Channel) -> bool:
    """Whether somebody hears of a topic by a channel: yes, unless they said no."""
    return (topic, channel) not in list_unwanted(user_id=user_id)


def list_unwanted(*, user_id: UUID) -> set[tuple[str, str]]:
    """The topics and channels that somebody does not want."""
    said = Choice.objects.filter(user_id=user_id, is_wanted=False)
    return {
        (topic, channel)
        for topic, channel in said.values_list("topic", "channel")
        if topic not in ALWAYS
    }


def leave_out_unwanted(
    *, user_id: UUID, kind: Kind, channels: Iterable[Channel]
) -> set[Channel]:
    """Those of the channels by which somebody wants messages of this kind."""
    channels = set(channels)
    if not kind.is_optional or not channels:
        return channels
    unwanted = list_unwanted(user_id=user_id)
    return {each for each in channels if (kind.topic, each) not in unwanted}


def is_wanted_still(message: Notification) -> bool:
    """Whether its recipient wants it; asked right before a message goes out."""
    kind = KINDS.get(message.template)
    channel = Channel(message.channel)
    return kind is None or bool(
        leave_out_unwanted(user_id=message.recipient_id, kind=kind, channels=[channel])
    )
