"""Django's middleware for people with a browser, which API requests pass by.

Sessions, CSRF tokens and messages mean nothing to a request with a bearer token, and
together cost it more than verifying the token (`make bench`).
"""

from collections.abc import Awaitable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

API = "/api/v1/"


class _PassesApiBy(MiddlewareMixin):
    def __call__(
        self, request: HttpRequest
    ) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Step aside for the API."""
        if request.path_info.startswith(API):
            return self.get_response(request)
        return super().__call__(request)


class Sessions(_PassesApiBy, SessionMiddleware):
    """Django's sessions, for pages only."""


class SignedInStaff(_PassesApiBy, AuthenticationMiddleware):
    """Django's `request.user`, for pages only."""


class Messages(_PassesApiBy, MessageMiddleware):
    """Django's messages, for pages only."""
