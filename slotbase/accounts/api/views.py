"""What customers see of themselves, and how they leave. All logic is in services."""

from typing import ClassVar, cast

from django.http import StreamingHttpResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from recovery import audit
from slotbase.accounts.api import operations
from slotbase.accounts.api.authentication import find_who_leaves
from slotbase.accounts.api.serializers import ProfileInput, show_profile
from slotbase.accounts.errors import AccountDisabled, SessionRevoked
from slotbase.accounts.models import User
from slotbase.accounts.services.erasing import request_erasure
from slotbase.accounts.services.exporting import export_person
from slotbase.accounts.services.own_profile import change_profile
from slotbase.accounts.tokens import Needs, Session
from slotbase.lib.api.inputs import read
from slotbase.lib.api.throttles import ExportThrottle


@operations.me
class MeView(APIView):
    """The customer's own person."""

    token_needs: ClassVar = {"GET": Needs.GRACE}

    def perform_authentication(self, request: Request) -> None:
        """Also lets in whoever asked to be erased, to ask for it once more."""
        try:
            super().perform_authentication(request)
        except (AccountDisabled, SessionRevoked):
            leaving = find_who_leaves(request) if request.method == "DELETE" else None
            if leaving is None:
                raise
            request.user, request.auth = leaving, None

    def get(self, request: Request) -> Response:
        """Answer with the profile."""
        return Response(show_profile(User.objects.get(pk=_me(request).pk)))

    def patch(self, request: Request) -> Response:
        """Change what can be changed here; answer with all."""
        changes = read(ProfileInput, request.data)
        return Response(
            show_profile(change_profile(user_id=_me(request).pk, changes=changes))
        )

    def delete(self, request: Request) -> Response:
        """Have everything about the customer erased, soon."""
        user, session = _me(request), cast("Session | None", request.auth)
        request_erasure(
            user_id=user.pk,
            actor=audit.Actor.customer(user.pk),
            session_id=session.session_id if session else "",
        )
        return Response({"status": "erasing"}, status=202)


@operations.export
class ExportView(APIView):
    """All that is kept of the customer."""

    throttle_classes = (ExportThrottle,)

    def get(self, request: Request) -> StreamingHttpResponse:
        """Answer with one document, piece by piece."""
        me = _me(request).pk
        pieces = export_person(user_id=me, actor=audit.Actor.customer(me))
        return StreamingHttpResponse(
            pieces,
            content_type="application/json",
            headers={
                "Content-Disposition": 'attachment; filename="my-data.json"',
                "Cache-Control": "no-store",
            },
        )


def _me(request: Request) -> User:
    return cast(User, request.user)
