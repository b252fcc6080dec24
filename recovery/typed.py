"""What a person types beside the buttons of a page."""

from django import forms

from slotbase.lib.errors import DomainError
from slotbase.lib.typed import TypedForm


class Typed(TypedForm):
    """What a person typed beside the buttons of a page."""

    version = forms.IntegerField(required=False)
    reason = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.Textarea({"rows": 2}),
        label="Why",
        error_messages={"required": "Say why: whoever reads this was not here."},
    )
    evidence = forms.CharField(
        required=False,
        max_length=5000,
        widget=forms.Textarea({"rows": 4}),
        label="Evidence, if there is any",
        error_messages={
            "required": "Say what shows it: a receipt, a transfer, a name."
        },
    )
    reference = forms.CharField(
        required=False,
        max_length=64,
        label="Reference of the booking",
        error_messages={"required": "Give the reference of the booking."},
    )

    def point_out(self, error: DomainError) -> None:
        """Say what is wrong beside the field that it is about, if it is about one."""
        for name, texts in error.extra.get("errors", {}).items():
            if name in self.fields:
                self.add_error(name, texts)
