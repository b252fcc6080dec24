"""Back office: the money of a month as a file for accountants."""

from datetime import date
from typing import Any, cast

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from payments.services.exports import export_money
from recovery.backoffice import staff_id_of
from recovery.step_up import ask_first
from slotbase.accounts.models import Venue
from slotbase.lib.backoffice import sees_all_venues
from slotbase.lib.csv_files import write_lines
from slotbase.lib.typed import TypedForm

EARLIEST, LATEST = 2000, 2100  # years: an hour of the first day is one in all zones
GROUPS = ("manager", "support_lead", "auditor")


class ExportForm(TypedForm):
    """Of which venue, and of which month there."""

    venue = forms.ModelChoiceField(Venue.objects.none(), empty_label=None)
    month = forms.DateField(
        input_formats=["%Y-%m"],
        widget=forms.DateInput({"type": "month", "placeholder": "2026-05"}, "%Y-%m"),
        error_messages={"invalid": "Give a month such as 2026-05."},
    )

    def clean_month(self) -> date:
        """A month of this calendar that has a next one."""
        month: date = self.cleaned_data["month"]
        if not EARLIEST <= month.year <= LATEST:
            raise forms.ValidationError("Give a month such as 2026-05.")
        return month

    def __init__(self, venues: QuerySet[Venue], data: Any = None) -> None:
        super().__init__(data)
        self.fields["venue"].queryset = venues  # type: ignore[attr-defined]


def show_export(request: HttpRequest) -> HttpResponseBase:
    """Ask for venue and month; a POST gives the file, and is audited."""
    if not may_export(request.user):
        raise PermissionDenied
    form = ExportForm(_venues_of(request.user), request.POST or None)
    if request.method == "POST" and form.is_valid():
        if asked := ask_first(request):
            return asked
        return _file(request, form.cleaned_data["venue"], form.cleaned_data["month"])
    context = {
        **admin.site.each_context(request),
        "title": "Export of payments and refunds",
        "form": form,
    }
    status = 400 if request.method == "POST" else 200
    return TemplateResponse(request, "admin/export.html", context, status=status)


def may_export(user: Any) -> bool:
    """Whether a person may take the money of a month away as a file."""
    is_one = user.is_superuser or user.groups.filter(name__in=GROUPS).exists()
    return bool(user.is_active and is_one)


def _venues_of(user: Any) -> QuerySet[Venue]:
    if sees_all_venues(user):
        return Venue.objects.all()
    return cast("QuerySet[Venue]", user.venues.all())


def _file(request: HttpRequest, venue: Venue, month: Any) -> HttpResponse:
    rows = export_money(venue_id=venue.pk, month=month, staff_id=staff_id_of(request))
    name = f"{venue.slug}-{month:%Y-%m}.csv"
    response = StreamingHttpResponse(
        write_lines(rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
    return cast("HttpResponse", response)
