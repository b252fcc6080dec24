"""The operations of messages in the OpenAPI document."""

from drf_spectacular.utils import extend_schema_view

from notifications.api import serializers
from slotbase.accounts.api.schema import COMMAND, PRIVATE
from slotbase.lib.api.openapi import answer, operation, problems

message_choices = extend_schema_view(
    get=operation(
        "getMessageChoices",
        "Look at what you are told of",
        "Each topic with the channels by which it is told. `email` says whether mails "
        "reach you: if not, show it.",
        responses={
            200: answer(serializers.MessageChoices, "The choices."),
            **problems(*PRIVATE),
        },
    ),
    patch=operation(
        "chooseMessages",
        "Choose what you are told of",
        "One topic and one channel at a time. Money and cancellations are always told.",
        request=serializers.ChoiceInput,
        responses={
            200: answer(serializers.MessageChoices, "The choices, as they are now."),
            **problems(*COMMAND),
        },
    ),
)
