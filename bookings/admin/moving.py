"""Back office: the page that moves a booking to another time or resource."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from bookings.errors import BookingHasChanged
from bookings.models import Booking, Resource
from bookings.services.messages import is_told_of_move
from bookings.services.moving import move_booking
from bookings.states import BookingStatus
from recovery.backoffice import AuditedAdmin, staff_id_of
from recovery.errors import ApprovalRequired
from recovery.proposals import propose
from recovery.step_up import ask_first
from slotbase.lib.columns import format_link
from slotbase.lib.errors import DomainError
from slotbase.lib.typed import TypedForm

MOVE = "bookings_booking_move"
MAY_MOVE = "bookings.move_booking"


def address_of_move(booking_id: Any) -> str:
    """The page that moves a booking."""
    return reverse(f"admin:{MOVE}", args=[booking_id])


class LocalTimeField(forms.DateTimeField):
    """A time by the clocks of the venue, as the browser's own picker gives it."""

    widget = forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def to_python(self, value: Any) -> Any:
        """Without the zone that Django takes for granted."""
        typed = super().to_python(value)
        return typed and typed.replace(tzinfo=None)


class MoveForm(TypedForm):
    """Where to and when; `version` is that of the booking they looked at."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    resource = forms.ModelChoiceField(Resource.objects.none(), empty_label=None)
    start_time = LocalTimeField(label="Start, by the clocks of the venue")
    reason = forms.CharField(
        max_length=200,
        required=False,
        initial="",
        label="Why",
        help_text="Needed where a colleague has to agree, since a cancellation would"
        " cost much less at the new time.",
    )

    def __init__(self, booking: Booking, data: Any = None) -> None:
        venue = booking.resource.venue
        start = booking.start_time.astimezone(venue.zone).replace(tzinfo=None)
        first = {
            "version": booking.version,
            "resource": booking.resource_id,
            "start_time": f"{start:%Y-%m-%dT%H:%M}",
        }
        super().__init__(data, initial=first)
        places = Resource.objects.filter(venue=venue, is_bookable=True)
        self.fields["resource"].queryset = places  # type: ignore[attr-defined]
        self.fields[
            "start_time"
        ].help_text = "It is as long as it was, and costs what it did."


class MovePages(AuditedAdmin[Any]):
    """A button on the page of a booking, and the page behind it."""

    def get_urls(self) -> list[Any]:
        """It has a page of its own."""
        view = self.admin_site.admin_view(self.show_move)
        return [path("<uuid:pk>/move/", view, name=MOVE), *super().get_urls()]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """With the button, where it can be moved."""
        booking = context["original"]
        is_to_come = booking.status == BookingStatus.CONFIRMED
        if is_to_come and request.user.has_perm(MAY_MOVE):
            context["move"] = address_of_move(booking.pk)
        return super().render_change_form(request, context, *args, **kwargs)

    def show_move(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask where to, and move it."""
        booking = self._find_to_move(request, pk)
        if asked := ask_first(request):
            return asked
        form, status = MoveForm(booking, request.POST or None), 200
        if request.method == "POST":
            status = 400
            if form.is_valid():
                try:
                    _move_or_propose(request, booking, form)
                except DomainError as error:
                    status = error.status
                    form = _say_why_not(booking, form, error)
                else:
                    return HttpResponseRedirect(
                        reverse("admin:bookings_booking_change", args=[booking.pk])
                    )
        return self._show_move(request, booking, form, status)

    def _find_to_move(self, request: HttpRequest, pk: UUID) -> Booking:
        may_look = self.has_view_permission(request)
        if not may_look or not request.user.has_perm(MAY_MOVE):
            raise PermissionDenied
        booking: Booking | None = self.get_object(request, str(pk))
        if booking is None:
            raise Http404
        return booking

    def _show_move(
        self, request: HttpRequest, booking: Booking, form: MoveForm, status: int
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Move",
            "subtitle": booking.reference,
            "opts": self.opts,
            "original": booking,
            "form": form,
            "facts": {
                "Booking": format_link("bookings_booking", booking),
                "What": booking.resource,
                "When": self.when(booking),  # type: ignore[attr-defined]
                "Customer": booking.customer,
                "Units": len(booking.units),
            },
        }
        return TemplateResponse(
            request, "admin/booking_money.html", context, status=status
        )


def _say_moved(request: HttpRequest, moved: Booking) -> None:
    if is_told_of_move(moved):
        messages.success(request, "It is moved, and its customer is told.")
    else:
        why = "It is moved. Its customer chose not to hear of it: please call them."
        messages.warning(request, why)


def _move_or_propose(request: HttpRequest, booking: Booking, form: MoveForm) -> None:
    """And say which: it is done, or a colleague has to agree."""
    try:
        _say_moved(request, _move(request, booking, form))
    except ApprovalRequired as needed:
        words = propose(
            needed, staff_id=staff_id_of(request), reason=form.cleaned_data["reason"]
        )
        messages.warning(request, words)


def _move(request: HttpRequest, booking: Booking, form: MoveForm) -> Booking:
    typed = form.cleaned_data
    return move_booking(
        booking_id=booking.pk,
        staff_id=staff_id_of(request),
        version=typed["version"],
        start_time=typed["start_time"],
        resource_id=typed["resource"].pk,
    )


def _say_why_not(booking: Booking, form: MoveForm, error: DomainError) -> MoveForm:
    """Beside the field that is wrong; what was typed stays."""
    for name, words in error.extra.get("errors", {}).items():
        form.add_error(name if name in form.fields else None, words)
    if not form.errors:
        form.add_error(None, str(error))
    if not isinstance(error, BookingHasChanged):
        return form
    # With the version of now, so that a second look can decide.
    fresh = MoveForm(booking, {**form.data.dict(), "version": booking.version})  # type: ignore[attr-defined]
    fresh.add_error(None, str(error))
    return fresh
