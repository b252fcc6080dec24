"""What the API of coaches' feedback takes and gives."""

from typing import Any
from uuid import UUID

from django.core.validators import RegexValidator
from rest_framework import serializers

from bookings.api.serializers import BIGINT_MAX, NumberField, in_utc
from bookings.models import Drill, SessionFeedback, Skill
from bookings.models.feedback import LONGEST_NOTES
from bookings.queries import list_taught
from bookings.services.feedback import is_coach_of
from bookings.services.plain import shows_something
from bookings.services.proposal import propose_text
from bookings.states import EnhancementStatus, FallbackReason
from slotbase.lib.api.inputs import StrictSerializer, WordsField

#: How many skills, and how many drills, one feedback names.
MOST_NAMED = 10
#: DRF refuses what is blank; with this, the document says so.
IS_NOT_BLANK = RegexValidator(r"\S", "This field may not be blank.")


def can_be_seen(text: str) -> None:
    """Refuse what looks blank, though it is full of characters."""
    if not shows_something(text):
        raise serializers.ValidationError("Nothing in this can be seen.")


SAYS_SOMETHING = (IS_NOT_BLANK, can_be_seen)


class IdsField(serializers.ListField):
    """Ids of the venue's catalogue; each wrong one is told with the field."""

    def __init__(self, **options: Any) -> None:
        child = NumberField(min_value=1, max_value=BIGINT_MAX)
        super().__init__(child=child, max_length=MOST_NAMED, **options)

    def to_internal_value(self, data: Any) -> list[int]:
        """The ids. A text or an object is no list, and nothing in it is looked at."""
        try:
            ids: list[int] = super().to_internal_value(data)
        except serializers.ValidationError as error:
            raise serializers.ValidationError(_flatten(error.detail)) from None
        return ids


def _flatten(detail: Any) -> list[str]:
    """DRF numbers the items that are wrong; our errors are lists of texts."""
    if not isinstance(detail, dict):
        return list(detail)
    return [
        f"Item {index + 1}: {text}" for index, each in detail.items() for text in each
    ]


class NotesInput(StrictSerializer):
    """What the coach wrote after the session."""

    notes = WordsField(max_length=LONGEST_NOTES, validators=SAYS_SOMETHING)


class AcceptInput(StrictSerializer):
    """What the customer may read; what is not given is taken as it was proposed."""

    version = NumberField(min_value=1, max_value=2**31 - 1)
    text = WordsField(
        max_length=LONGEST_NOTES, required=False, validators=SAYS_SOMETHING
    )
    skills = IdsField(required=False)
    drills = IdsField(required=False)


class AgainInput(StrictSerializer):
    """Nothing more is to be said: the notes are there."""


# --- Answers, for the OpenAPI document ----------------------------------------------


class NamedSkill(serializers.Serializer[Any]):
    """What a venue's coaches teach."""

    id = serializers.IntegerField()
    name = serializers.CharField()


class NamedDrill(serializers.Serializer[Any]):
    """An exercise."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()


class Enhancement(serializers.Serializer[Any]):
    """What was made of the notes; the notes as they are, while it is not enhanced."""

    status = serializers.ChoiceField(EnhancementStatus.choices)
    enhanced = serializers.BooleanField(
        help_text="False: `text` are the notes, and there are no skills and drills."
    )
    text = serializers.CharField()
    skills = NamedSkill(many=True)
    drills = NamedDrill(many=True)
    fallback_reason = serializers.ChoiceField(
        FallbackReason.choices,
        allow_null=True,
        help_text="Why it is not enhanced; null if it is, or while nothing failed.",
    )


class Accepted(serializers.Serializer[Any]):
    """What the customer may read."""

    text = serializers.CharField()
    skills = NamedSkill(many=True)
    drills = NamedDrill(many=True)
    accepted_at = serializers.DateTimeField(help_text="When it was last accepted.")


COACH_ALONE = "For the coach alone."


class Feedback(serializers.Serializer[Any]):
    """A coach's feedback on a session."""

    id = serializers.UUIDField()
    booking = serializers.UUIDField()
    notes = serializers.CharField(
        required=False, help_text=f"As they were written. {COACH_ALONE}"
    )
    enhancement = Enhancement(required=False, help_text=COACH_ALONE)
    accepted = Accepted(allow_null=True, help_text="Null until the coach accepts it.")
    version = serializers.IntegerField(
        required=False, help_text=f"What the coach looked at. {COACH_ALONE}"
    )


# --- Answers ------------------------------------------------------------------------


def show_feedback(feedback: SessionFeedback, *, user_id: UUID) -> dict[str, Any]:
    """As its coach sees it; to the customer, what was accepted and nothing else."""
    shown = {
        "id": str(feedback.pk),
        "booking": str(feedback.booking_id),
        "accepted": _show_accepted(feedback),
    }
    if not is_coach_of(feedback.booking, user_id):
        return shown
    return {
        **shown,
        "notes": feedback.notes,
        "enhancement": _show_enhancement(feedback),
        "version": feedback.version,
    }


def _show_enhancement(feedback: SessionFeedback) -> dict[str, Any]:
    """The same form whatever happened, so that an app has one way to show it."""
    is_done = feedback.status == EnhancementStatus.DONE
    return {
        "status": feedback.status,
        "enhanced": is_done,
        "text": propose_text(feedback),
        "skills": _show_skills(feedback.skills) if is_done else [],
        "drills": _show_drills(feedback.drills) if is_done else [],
        "fallback_reason": None if is_done else feedback.fallback_reason or None,
    }


def _show_accepted(feedback: SessionFeedback) -> dict[str, Any] | None:
    if feedback.accepted_at is None:
        return None
    return {
        "text": feedback.accepted_text,
        "skills": _show_skills(feedback.accepted_skills),
        "drills": _show_drills(feedback.accepted_drills),
        "accepted_at": in_utc(feedback.accepted_at),
    }


def _show_skills(ids: list[int]) -> list[dict[str, Any]]:
    return [{"id": each.pk, "name": each.name} for each in list_taught(Skill, ids)]


def _show_drills(ids: list[int]) -> list[dict[str, Any]]:
    return [
        {"id": each.pk, "name": each.name, "description": each.description}
        for each in list_taught(Drill, ids)
    ]
