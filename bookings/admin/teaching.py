"""Back office: the skills and drills that a venue's coaches name, and no others."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from bookings.models import Drill, Skill
from recovery.backoffice import HISTORY, AuditedAdmin
from slotbase.lib.backoffice import ConditionFilter, ModelForm, OwnRowsFilter
from slotbase.lib.clock import read_clock


class TaughtForm(ModelForm[Any]):
    """What was named in feedback is never deleted: it is taken out of use."""

    in_use = forms.BooleanField(
        required=False,
        initial=True,
        help_text="If not, new feedback does not name it; what customers read, stays.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["in_use"] = self.instance.retired_at is None

    def clean_name(self) -> str:
        """One of each name at a venue, in whatever case."""
        name: str = self.cleaned_data["name"]
        venue = self.cleaned_data.get("venue") or getattr(self.instance, "venue", None)
        others = type(self.instance).objects.exclude(pk=self.instance.pk)
        if others.filter(venue=venue, name__iexact=name).exists():
            raise forms.ValidationError("The venue has this already.")
        return name

    def save(self, commit: bool = True) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        """Stamp it when it leaves use, and clear that when it comes back."""
        if "in_use" in self.changed_data:
            in_use = self.cleaned_data["in_use"]
            self.instance.retired_at = None if in_use else read_clock()
        return super().save(commit)


class InUseFilter(ConditionFilter):
    """Whether new feedback names it."""

    title, parameter_name = "in use", "in_use"
    conditions = {
        "yes": ("Yes", Q(retired_at__isnull=True)),
        "no": ("No", Q(retired_at__isnull=False)),
    }


class TaughtAdmin(AuditedAdmin[Any]):
    """What skills and drills have in common."""

    venue_path = "venue"
    form = TaughtForm
    can_add = True
    set_once = ("venue",)
    list_display = ("name", "venue", "in_use")
    list_filter = (("venue", OwnRowsFilter), InUseFilter)
    list_select_related = ("venue",)
    search_fields = ("name",)
    ordering = ("venue__name", "name")

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: Any
    ) -> None:
        """When it left use is a column of its own, which nobody types."""
        super().save_model(request, obj, form, change)
        if change and "in_use" in form.changed_data:
            obj.save(update_fields=["retired_at"])

    @admin.display(boolean=True)
    def in_use(self, row: Any) -> bool:
        """What those see who may not change it."""
        return row.retired_at is None


@admin.register(Skill)
class SkillAdmin(TaughtAdmin):
    """What a venue's coaches teach."""

    audit_subject = "skill"
    editable_fields = ("name", "in_use")
    fieldsets = (("Skill", {"fields": ("venue", "name", "in_use")}), HISTORY)


@admin.register(Drill)
class DrillAdmin(TaughtAdmin):
    """Exercises that a venue's coaches give."""

    audit_subject = "drill"
    editable_fields = ("name", "description", "in_use")
    fieldsets = (
        ("Drill", {"fields": ("venue", "name", "description", "in_use")}),
        HISTORY,
    )
