"""What can go wrong with signing in."""

from slotbase.lib.errors import Forbidden, Unauthenticated, Unavailable


class TokenInvalid(Unauthenticated):
    """The token was not made by Clerk for us; the client is not told what gave it away.

    `reason` is for the log alone.
    """

    code, title = "token_invalid", "The token is not valid"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class TokenExpired(Unauthenticated):
    code, title = "token_expired", "The token has expired"


class SessionRevoked(Unauthenticated):
    code, title = "session_revoked", "The session was ended: sign in again"


class AccountDisabled(Forbidden):
    code, title = "account_disabled", "The account is disabled"


class AuthUnavailable(Unavailable):
    """Nobody can tell whether the token is right: not a reason to sign anybody out."""

    code, title = "auth_unavailable", "Signing in is not possible at the moment"
    retry_after = 10
