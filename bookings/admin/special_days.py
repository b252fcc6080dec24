"""Back office: special days, and what a closure touches."""

from datetime import tzinfo
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from bookings.models import DateException
from bookings.services import closures
from bookings.services.closures import Touched
from bookings.states import ExceptionKind
from recovery.backoffice import HISTORY, AuditedAdmin
from slotbase.lib.backoffice import ModelForm, OwnRowsFilter
from slotbase.lib.columns import format_link, format_slot

SHOWN = 20


class DateExceptionForm(ModelForm[DateException]):
    """Says in words what the database would refuse."""

    def clean(self) -> None:
        """From and until belong together, resource and venue too."""
        given = self.cleaned_data
        has_from, has_until = given.get("opens"), given.get("closes")
        if (has_from is None) != (has_until is None):
            self.add_error("closes", "Give both times, or neither for all day.")
        if given.get("kind") == ExceptionKind.HOURS and has_from is None:
            self.add_error("opens", "Special hours need both times.")
        resource = given.get("resource") or self.instance.resource
        # By id: where none was chosen, the instance has none to read.
        venue = given.get("venue")
        venue_id = venue.pk if venue else self.instance.venue_id
        if resource and venue_id and resource.venue_id != venue_id:
            self.add_error("resource", "It belongs to another venue.")


@admin.register(DateException)
class DateExceptionAdmin(AuditedAdmin[DateException]):
    """Special days and closures."""

    audit_subject = "date_exception"
    venue_path = "venue"
    form = DateExceptionForm
    can_add = can_delete = True
    set_once = ("venue", "resource")
    editable_fields = ("date", "kind", "opens", "closes", "note")
    fieldsets = (
        ("Where", {"fields": ("venue", "resource")}),
        ("When", {"fields": ("date", "kind", "opens", "closes", "note")}),
        HISTORY,
    )
    list_display = ("date", "venue", "place", "kind", "opens", "closes", "note")
    list_filter = (("venue", OwnRowsFilter), "kind")
    list_select_related = ("venue", "resource")
    search_fields = ("note", "resource__name")
    ordering = ("-date", "-id")

    def save_model(
        self, request: HttpRequest, obj: DateException, form: Any, change: Any
    ) -> None:
        """A closure closes at once, and says what it touches."""
        changed = form.changed_data if change else None
        touched = closures.save_special_day(obj, fields=changed)
        if words := _say_touched(touched, obj.venue.zone):
            messages.warning(request, words)

    def delete_model(self, request: HttpRequest, obj: DateException) -> None:  # noqa: ARG002
        """What it closed can be sold again."""
        closures.delete_special_day(obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """The day itself: that its claims go with it is what is meant."""
        _, _, missing, protected = super().get_deleted_objects(objs, request)
        names = [str(each) for each in objs]
        counts = {self.opts.verbose_name_plural: len(names)}
        return names, counts, missing, protected

    @admin.display(description="resource")
    def place(self, row: DateException) -> str:
        """The resource, or that it is the whole venue."""
        return str(row.resource) if row.resource else "Whole venue"


def _say_touched(touched: Touched, zone: tzinfo) -> SafeString | str:
    """What was held and sold in a time that is closed now; empty if nothing was."""
    parts = []
    if touched.bookings:
        parts.append(
            format_html(
                "Bookings inside, each with a case for the front desk: {}.",
                _list_sales("bookings_booking", touched.bookings, zone),
            )
        )
    if touched.holds:
        parts.append(
            format_html(
                "Holds inside, which can only be confirmed if they are paid: {}.",
                _list_sales("bookings_bookinghold", touched.holds, zone),
            )
        )
    return format_html_join(" ", "{}", ((part,) for part in parts))


def _list_sales(page: str, sales: list[Any], zone: tzinfo) -> SafeString:
    links = [
        format_link(page, each, format_slot(each.start_time, each.end_time, zone))
        for each in sales[:SHOWN]
    ]
    if left := len(sales) - SHOWN:
        links += [format_html("and {} more", left)] if left > 0 else []
    return format_html_join(", ", "{}", ((each,) for each in links))
