"""Forms that people type into: what nobody may type is refused at the field."""

from typing import Any

from django import forms

from slotbase.lib.card_numbers import refuse_card_numbers


def guard(field: Any) -> Any:
    """The same form field; a text that people type is refused with a card number."""
    is_text = isinstance(field, forms.CharField)
    # A password is kept as a hash alone.
    is_secret = isinstance(getattr(field, "widget", None), forms.PasswordInput)
    if is_text and not is_secret and refuse_card_numbers not in field.validators:
        field.validators.append(refuse_card_numbers)
    return field


class TypedForm(forms.Form):
    """The base of our own forms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            guard(field)
