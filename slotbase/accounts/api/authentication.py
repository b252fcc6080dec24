"""Bearer tokens of Clerk for Django REST framework, and their place in the schema."""

from typing import TYPE_CHECKING

import structlog
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from slotbase.accounts.errors import TokenInvalid
from slotbase.accounts.models import User
from slotbase.accounts.queries import find_leaving
from slotbase.accounts.services.sign_in import read_session, sign_in
from slotbase.accounts.tokens import Needs, Session
from slotbase.lib.errors import DomainError

if TYPE_CHECKING:
    from drf_spectacular.openapi import AutoSchema

log = structlog.get_logger(__name__)


class ClerkAuthentication(BaseAuthentication):
    """Signs in by `Authorization: Bearer <session token>`."""

    def authenticate(self, request: Request) -> tuple[User, Session] | None:
        """The customer and session of the token; None without the header.

        Raises:
            DomainError: the token does not sign anybody in, or nobody can tell.
        """
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        try:
            return sign_in(token=_bearer_token(header), needs=_needs(request))
        except DomainError as error:
            reason = getattr(error, "reason", "")
            log.info("sign_in_refused", code=error.code, reason=reason)
            raise

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        """What DRF puts into WWW-Authenticate when the header is missing."""
        return "Bearer"


def find_who_leaves(request: Request) -> User | None:
    """Whoever asked to be erased, is let in no more, and sends a good token."""
    token = _bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
    return find_leaving(read_session(token))


def _needs(request: Request) -> Needs:
    """What the view says of its methods in `token_needs`; nothing: a living token."""
    view = request.parser_context.get("view") if request.parser_context else None
    needs: dict[str, Needs] = getattr(view, "token_needs", {})
    method = "GET" if request.method == "HEAD" else request.method
    return needs.get(method or "", Needs.LIFE)


def _bearer_token(header: str) -> str:
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token:
        raise TokenInvalid("malformed header")
    return token


class ClerkSession(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The sign-in as the OpenAPI document shows it; defining it registers it."""

    target_class = ClerkAuthentication
    name = "clerkSession"

    def get_security_definition(self, auto_schema: "AutoSchema") -> dict[str, str]:  # noqa: ARG002 - its signature
        """An HTTP bearer scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The session token that Clerk gave to the customer's app.",
        }
