"""Who we are at Stripe: what each object that we make there says of itself."""

from collections.abc import Mapping

from django.conf import settings

from payments.models import Installation


def mark() -> dict[str, str]:
    """What every object of ours bears, beside the row that it belongs to."""
    return {"slotbase_env": settings.SLOTBASE_ENV, "installation": _identity()}


def _identity() -> str:
    """Made by a migration; or here, where somebody emptied the database."""
    identities = Installation.objects.values_list("identity", flat=True)
    if (found := identities.first()) is None:
        Installation.objects.bulk_create([Installation()], ignore_conflicts=True)
        found = identities.get()
    return str(found)


def is_ours(metadata: Mapping[str, str]) -> bool:
    """Whether an object at Stripe may belong to a row here: then it names the row.

    Those that were made before there was a mark name only the environment.
    """
    return bool(metadata.get("slotbase_env") == settings.SLOTBASE_ENV)


def bears_our_mark(metadata: Mapping[str, str]) -> bool:
    """Whether nobody but us can have made it, even in an account of several."""
    return mark().items() <= metadata.items()


def is_of_others(metadata: Mapping[str, str]) -> bool:
    """Whether it says that another installation made it."""
    named = metadata.get("installation", "")
    return "slotbase_env" in metadata and not (
        is_ours(metadata) and named in {"", _identity()}
    )
