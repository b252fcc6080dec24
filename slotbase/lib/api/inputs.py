"""Reading what a client sends: strictly, so that a typing error is told."""

from typing import Any

from rest_framework import serializers


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a typing error is told."""

    def to_internal_value(self, data: Any) -> Any:
        """Check the names, then the values."""
        unknown = set(data) - set(self.fields)
        if unknown:
            raise serializers.ValidationError(
                {name: ["This field is not known here."] for name in sorted(unknown)}
            )
        return super().to_internal_value(data)


def read(shape: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """The checked input; a 400 that names each wrong field otherwise."""
    serializer = shape(data=data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
