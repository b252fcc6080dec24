"""One address that tells who is signed in."""

from django.urls import path
from rest_framework.decorators import api_view, throttle_classes
from rest_framework.request import Request
from rest_framework.response import Response


@api_view(["GET"])
@throttle_classes([])
def me(request: Request) -> Response:
    session = request.auth
    return Response({"clerk_id": request.user.clerk_id, "sid": session.session_id})


urlpatterns = [path("me", me)]
