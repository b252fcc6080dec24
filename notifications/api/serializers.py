"""What the API of messages takes and gives."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications.kinds import ALWAYS, Topic
from notifications.services.choices import ALWAYS_GOES
from notifications.states import Channel
from slotbase.lib.api.inputs import StrictSerializer


class SwitchField(serializers.BooleanField):
    """true or false of JSON; DRF's own also takes texts such as `off`."""

    def to_internal_value(self, data: Any) -> bool:
        """The boolean."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


OPTIONAL_TOPICS = [each.value for each in Topic if each not in ALWAYS]


@extend_schema_field({"type": "string", "enum": OPTIONAL_TOPICS})
class OptionalTopicField(serializers.ChoiceField):
    """A topic that can be chosen; whoever names another one is told why not."""


class ChoiceInput(StrictSerializer):
    """One choice: whether to hear of a topic by a channel."""

    topic = OptionalTopicField(Topic.choices)
    channel = serializers.ChoiceField(Channel.choices)
    is_wanted = SwitchField()


class ChannelChoice(serializers.Serializer[Any]):
    """Whether a topic is told by a channel."""

    channel = serializers.ChoiceField(Channel.choices)
    is_wanted = serializers.BooleanField()


class TopicChoice(serializers.Serializer[Any]):
    """What is told of a topic."""

    topic = serializers.ChoiceField(Topic.choices)
    name = serializers.CharField(help_text="For people.")
    can_be_changed = serializers.BooleanField()
    why = serializers.CharField(
        allow_null=True, help_text="For people: why it cannot be changed."
    )
    channels = ChannelChoice(many=True)


class MailState(serializers.Serializer[Any]):
    """Whether mails reach the customer."""

    works = serializers.BooleanField()
    why = serializers.ChoiceField(
        ["no_address", "bounced", "complained", "refused"],
        allow_null=True,
        help_text="Why not: show it, and ask for another address.",
    )


class MessageChoices(serializers.Serializer[Any]):
    """What the customer hears of, and by which channels."""

    topics = TopicChoice(many=True)
    email = MailState()
    devices = serializers.IntegerField(help_text="How many get push messages.")


def show_topic(topic: Topic, unwanted: set[tuple[str, str]]) -> dict[str, Any]:
    """A topic with its channels."""
    is_optional = topic not in ALWAYS
    return {
        "topic": topic.value,
        "name": str(topic.label),
        "can_be_changed": is_optional,
        "why": None if is_optional else ALWAYS_GOES,
        "channels": [
            {"channel": each.value, "is_wanted": (topic, each) not in unwanted}
            for each in Channel
        ],
    }


def show_choices(
    unwanted: set[tuple[str, str]], *, why_no_mail: str, devices: int
) -> dict[str, Any]:
    """All topics; whether mails work, and how many devices there are."""
    return {
        "topics": [show_topic(topic, unwanted) for topic in Topic],
        "email": {"works": not why_no_mail, "why": why_no_mail or None},
        "devices": devices,
    }
