"""Tells operators that Clerk's keys do not come, while something can be done."""

from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings

from recovery import conditions
from slotbase.accounts.services.signing_keys import age_of_keys

OLDEST = timedelta(hours=1)  # they are fetched every five minutes


def find_old_keys() -> Mapping[str, str]:
    """Keys that are not renewed, and still serve or are not needed."""
    age = _age()
    if age is None or age <= OLDEST or find_missing_keys():
        return {}
    return {"clerk": "The keys of Clerk are not renewed"}


def find_missing_keys() -> Mapping[str, str]:
    """No key at all is left that a customer's token could be checked with."""
    age = _age()
    believed = timedelta(seconds=settings.CLERK_KEYS_MAX_AGE_SECONDS)
    if age is None or age <= believed or settings.CLERK_JWT_KEYS:
        return {}
    return {"clerk": "No customer can sign in: there are no keys of Clerk"}


def _age() -> timedelta | None:
    """None: Clerk is not asked, or has not been yet, as in a new installation."""
    return age_of_keys() if settings.CLERK_JWKS_URL else None


conditions.register("clerk_keys_old", find_old_keys)
conditions.register("clerk_keys_missing", find_missing_keys)
