"""Seals all that is sealed under SECRET_KEY, before a former key is taken away."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model

from slotbase.lib.sealing import Unreadable, reseal

PREFIX = "sealed_"
AT_ONCE = 500


class Command(BaseCommand):
    help = "Seal what is sealed under SECRET_KEY; it may run beside everything else."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Go through every sealed column.

        Raises:
            CommandError: something cannot be read under any of the keys.
        """
        found = Counter(
            each for where in sealed_columns() for each in _go_through(*where)
        )
        self.stdout.write(
            f"{found['resealed']} sealed anew, {found['as it was']} were already."
        )
        if found["unreadable"]:
            raise CommandError(
                f"{found['unreadable']} cannot be read: their key is missing in"
                " SECRET_KEY_FALLBACKS. Keep the others until it is there again."
            )


def sealed_columns() -> Iterator[tuple[type[Model], str]]:
    """Every column that is sealed: its name says so."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:  # noqa: SLF001 - Django's public name
            if field.name.startswith(PREFIX):
                yield model, field.name


def _go_through(model: type[Model], column: str) -> Iterator[str]:
    rows = model._default_manager.exclude(**{column: ""})  # noqa: SLF001 - the same
    for pk, sealed in rows.values_list("pk", column).iterator(chunk_size=AT_ONCE):
        try:
            anew = reseal(sealed)
        except Unreadable:
            yield "unreadable"
            continue
        if anew == sealed:
            yield "as it was"
            continue
        # What was sealed meanwhile was sealed under the new key.
        rows.filter(pk=pk, **{column: sealed}).update(**{column: anew})
        yield "resealed"
