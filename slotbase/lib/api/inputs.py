"""Reading what a client sends: strictly, so that a typing error is told."""

from typing import Any

from rest_framework import serializers

from slotbase.lib.card_numbers import refuse_card_numbers


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, and card numbers in texts."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Texts are what people type; what has a pattern, machines send."""
        fields = super().get_fields()
        for field in fields.values():
            if _is_typed(field):
                field.validators.append(refuse_card_numbers)
        return fields

    def to_internal_value(self, data: Any) -> Any:
        """Check the names, then the values."""
        unknown = set(data) - set(self.fields)
        if unknown:
            raise serializers.ValidationError(
                {name: ["This field is not known here."] for name in sorted(unknown)}
            )
        return super().to_internal_value(data)


class WordsField(serializers.CharField):
    """A text of JSON; DRF's own also takes numbers."""

    def to_internal_value(self, data: Any) -> str:
        """The text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class PatternField(WordsField, serializers.RegexField):
    """A text of JSON in a form that only programs write."""


def _is_typed(field: serializers.Field[Any, Any, Any, Any]) -> bool:
    is_text = isinstance(field, serializers.CharField)
    return is_text and not isinstance(field, serializers.RegexField)


def read(shape: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """The checked input; a 400 that names each wrong field otherwise."""
    serializer = shape(data=data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
