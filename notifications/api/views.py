"""What customers see and choose of their messages. All logic is in services."""

from typing import ClassVar, cast

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from notifications.api import schema
from notifications.api.serializers import ChoiceInput, show_choices
from notifications.kinds import Topic
from notifications.queries import count_devices
from notifications.services import choices
from notifications.services.reach import why_no_mail
from notifications.states import Channel
from recovery import audit
from slotbase.accounts.models import User
from slotbase.accounts.tokens import Needs
from slotbase.lib.api.inputs import read


@schema.message_choices
class MessageChoicesView(APIView):
    """What the customer hears of."""

    token_needs: ClassVar = {"GET": Needs.GRACE}

    def get(self, request: Request) -> Response:
        """Answer with all topics and channels."""
        return _show(request)

    def patch(self, request: Request) -> Response:
        """Choose one; answer with all."""
        wish, user = read(ChoiceInput, request.data), cast(User, request.user)
        choices.choose(
            user_id=user.pk,
            topic=Topic(wish["topic"]),
            channel=Channel(wish["channel"]),
            is_wanted=wish["is_wanted"],
            actor=audit.Actor.customer(user.pk),
        )
        return _show(request)


def _show(request: Request) -> Response:
    user = cast(User, request.user)
    return Response(
        show_choices(
            choices.list_unwanted(user_id=user.pk),
            why_no_mail=why_no_mail(user.email),
            devices=count_devices(user.pk),
        )
    )
