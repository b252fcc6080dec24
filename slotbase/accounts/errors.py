"""What can go wrong with signing in, and with being forgotten."""

from slotbase.lib.errors import (
    Conflict,
    Forbidden,
    InvalidState,
    NotFound,
    Unauthenticated,
    Unavailable,
    Unprocessable,
)


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


class RightsHaveChanged(Conflict):
    """What a member of staff may do is not any more what was seen."""

    code, title = "version_conflict", "Somebody changed this meanwhile"


class AuthUnavailable(Unavailable):
    """Nobody can tell whether the token is right: not a reason to sign anybody out."""

    code, title = "auth_unavailable", "Signing in is not possible at the moment"
    leaves_unsigned = True
    retry_after = 10


class CodeRefused(Unprocessable):
    """In the back office alone."""

    code, title = "code_refused", "The app does not show this code"


class FactorExists(Conflict):
    """In the back office alone: somebody else was faster."""

    code, title = "factor_exists", "There is a second factor already"


class NoSecondFactor(InvalidState):
    """Of whoever has, or is to have, rights that a password alone would open."""


class PasswordIsGiven(InvalidState):
    """Somebody else may know it: it must not become all that is needed to sign in."""

    def __init__(self) -> None:
        super().__init__(
            "Somebody else has set their password. Take their rights away first, and"
            " give them back once they have signed in with their new app."
        )


class PersonNotFound(NotFound):
    """There is no such person, or nothing is known of them any more."""


class StillInBusiness(InvalidState):
    """Somebody cannot be erased yet; `reasons` says what must be over before."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(" ".join(reasons), reasons=reasons)
