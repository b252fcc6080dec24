"""Addresses that fail in every way, for the tests of what is answered then."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, OperationalError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from slotbase.lib.api import pages
from slotbase.lib.errors import InvalidState, Unavailable, ValidationFailed

handler400 = "slotbase.lib.api.problems.bad_request"
handler404 = "slotbase.lib.api.problems.not_found"
handler500 = "slotbase.lib.api.problems.server_error"

SECRET = "sk_live_secret"
ERRORS = {
    "bug": RuntimeError(SECRET),
    "assertion": AssertionError(SECRET),
    "integrity": IntegrityError(SECRET),
    "operational": OperationalError(SECRET),
    "http404": Http404(SECRET),
    "forbidden": PermissionDenied(SECRET),
    "unavailable": Unavailable("Later."),
    "state": InvalidState("It is BROKEN.", hint=1),
    "fields": ValidationFailed(a="Wrong.", b="Missing."),
}


class Failing(APIView):
    permission_classes = (AllowAny,)
    throttle_classes = ()

    def get(self, request: Request, name: str) -> Response:
        raise ERRORS[name]


class Sql(APIView):
    """Fails with an error of PostgreSQL."""

    permission_classes = (AllowAny,)
    throttle_classes = ()

    def get(self, request: Request, state: str) -> Response:
        with transaction.atomic(), connection.cursor() as cursor:
            raise_ = f"RAISE EXCEPTION '{SECRET}' USING ERRCODE = '{state}'"
            cursor.execute(f"DO $$ BEGIN {raise_}; END $$")
        return Response()


def plain(request: HttpRequest) -> HttpResponse:
    """Not of the API: a bug in a page."""
    raise RuntimeError(SECRET)


def staff_page(request: HttpRequest, name: str) -> HttpResponse:
    """A page of the back office that fails."""
    raise ERRORS[name]


urlpatterns: list[Any] = [
    path("admin/fails/<str:name>/", staff_page),
    path("admin/", admin.site.urls),
    path("fails/<str:name>/", Failing.as_view()),
    path("sql/<str:state>/", Sql.as_view()),
    path("plain/", plain),
    path("api/schema/", pages.schema, name="schema"),
    path("api/docs/", pages.docs, name="docs"),
    path("api/docs/errors/", pages.errors, name="errors"),
]
