"""Refusals because of who asks, which any operation of the API may have."""

from rest_framework.exceptions import NotAuthenticated

from slotbase.accounts.errors import (
    AccountDisabled,
    AuthUnavailable,
    SessionRevoked,
    TokenExpired,
    TokenInvalid,
)
from slotbase.lib.api import openapi

# Also where no token is needed: one that is sent must be right.
PUBLIC = (
    *openapi.ANYWHERE,
    *(TokenInvalid, TokenExpired, SessionRevoked, AccountDisabled, AuthUnavailable),
)
PRIVATE = (*PUBLIC, NotAuthenticated)
COMMAND = (*PRIVATE, *openapi.WITH_A_BODY)
