"""What the API of one's own person takes and gives."""

from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import SkipField, empty

from slotbase.accounts.models import User
from slotbase.lib.api.inputs import StrictSerializer, WordsField

FROM_CLERK = "It comes from your sign-in: change it there."
PHONE = RegexValidator(
    r"^\+?[0-9][0-9 ()/.-]{2,38}\Z", "A phone number, such as +49 30 1234567."
)
LOCALE = RegexValidator(
    r"^[a-z]{2,3}(-[A-Za-z0-9]{2,6})?\Z", "A language, such as en or de."
)
ONE_LINE = RegexValidator(
    r"^[^\x00-\x1f\x7f]+\Z", "One line without control characters."
)


@extend_schema_field({"not": {}})
class ReadOnlyField(serializers.CharField):
    """Known, so that whoever sends it hears why it cannot be changed."""

    def run_validation(self, data: Any = empty) -> Any:
        """Refuse whatever it is."""
        if data is empty:
            raise SkipField
        raise serializers.ValidationError(FROM_CLERK)


class ProfileInput(StrictSerializer):
    """What customers may change of their profile; what is left out stays."""

    name = WordsField(
        max_length=200, allow_blank=True, required=False, validators=[ONE_LINE]
    )
    phone = WordsField(
        max_length=40, allow_blank=True, required=False, validators=[PHONE]
    )
    locale = WordsField(max_length=10, required=False, validators=[LOCALE])
    email = ReadOnlyField(required=False, help_text="Refused: change it at Clerk.")


class Profile(serializers.Serializer[Any]):
    """Who the customer is."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.CharField(help_text="From the sign-in; empty: not known yet.")
    phone = serializers.CharField()
    locale = serializers.CharField(help_text="The language of messages.")


class Leaving(serializers.Serializer[Any]):
    """What becomes of the customer."""

    status = serializers.ChoiceField(["erasing"])


def show_profile(user: User) -> dict[str, Any]:
    """A customer as they see themselves."""
    return {
        "id": user.pk,
        "name": user.name,
        "email": user.email,
        "phone": user.phone,
        "locale": user.locale,
    }
