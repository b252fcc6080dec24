"""Back office: all that is known of a customer, to hand out or to erase."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse

from recovery import audit
from recovery.backoffice import AuditedAdmin
from recovery.step_up import ask_first
from slotbase.accounts.models import Erasure, User
from slotbase.accounts.services.erasing import request_erasure
from slotbase.accounts.services.exporting import export_person
from slotbase.accounts.services.personal_data import list_open_business
from slotbase.lib.errors import DomainError

EXPORT, ERASE = "accounts.export_person", "accounts.erase_person"
PERSONAL_DATA = "accounts_user_personal_data"


class PersonalDataPage(AuditedAdmin[User]):
    """A page of a customer: hand out all that is known of them, or erase it."""

    def get_urls(self) -> list[Any]:
        """It has an address of its own."""
        view = self.admin_site.admin_view(self.show_personal_data)
        page = path("<uuid:pk>/personal-data/", view, name=PERSONAL_DATA)
        return [page, *super().get_urls()]

    def show_personal_data(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Say what stands in the way, and do what is asked."""
        person = self._find_customer(request, pk)
        asked = request.POST.get("do", "") if request.method == "POST" else ""
        if not asked:
            return self._show_personal_data(request, person)
        needed = {"export": EXPORT, "erase": ERASE}.get(asked)
        if needed is None or not request.user.has_perm(needed):
            raise PermissionDenied
        if code_page := ask_first(request):
            return code_page
        if asked == "export":
            return _export(request, person)
        return self._erase(request, person)

    def _find_customer(self, request: HttpRequest, pk: UUID) -> User:
        may_act = any(map(request.user.has_perm, (EXPORT, ERASE)))
        if not may_act or not self.has_view_permission(request):
            raise PermissionDenied
        person: User | None = self.get_object(request, str(pk))
        if person is None or person.is_staff or person.erased_at:
            raise Http404
        return person

    def _erase(self, request: HttpRequest, person: User) -> HttpResponseBase:
        staff = audit.Actor.staff(request.user.pk)
        try:
            request_erasure(user_id=person.pk, actor=staff, staff_id=request.user.pk)
        except DomainError as error:
            messages.error(request, f"Nothing was done. {error}")
            return self._show_personal_data(request, person, status=error.status)
        messages.success(request, "They are let in no more, and erased in minutes.")
        page = reverse("admin:accounts_user_change", args=[person.pk])
        return HttpResponseRedirect(page)

    def _show_personal_data(
        self, request: HttpRequest, person: User, status: int = 200
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Personal data",
            "opts": self.opts,
            "original": person,
            "may_export": request.user.has_perm(EXPORT),
            "may_erase": request.user.has_perm(ERASE),
            "is_asked_for": Erasure.objects.filter(user=person.pk).exists(),
            "in_the_way": list_open_business(person.pk),
        }
        page = "admin/personal_data.html"
        return TemplateResponse(request, page, context, status=status)


def _export(request: HttpRequest, person: User) -> StreamingHttpResponse:
    staff = audit.Actor.staff(request.user.pk)
    name = f"person-{str(person.pk)[-6:]}.json"
    return StreamingHttpResponse(
        export_person(user_id=person.pk, actor=staff),
        content_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
