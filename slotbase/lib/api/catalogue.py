"""Every kind of problem that this installation can answer with, read from its code."""

from collections.abc import Iterator
from importlib import import_module

from django.conf import settings

from slotbase.lib.api.problems import BROKEN, FRAMEWORK_KINDS, TOO_LARGE, Kind, kind_of
from slotbase.lib.errors import DomainError


def list_kinds() -> list[Kind]:
    """One kind for each code, in order of status.

    A code of several classes, such as `not_found`, is shown as the most general of them
    has it.
    """
    by_code: dict[str, Kind] = {}
    for kind in walk_kinds():
        by_code.setdefault(kind.code, kind)
    return sorted(by_code.values(), key=lambda kind: (kind.status, kind.code))


def walk_kinds() -> Iterator[Kind]:
    """What the framework, our middleware and domain errors report, in this order."""
    # Only errors that are imported are known, and the views import all that they raise.
    import_module(settings.ROOT_URLCONF)
    yield from FRAMEWORK_KINDS.values()
    yield from (TOO_LARGE, BROKEN)
    for error in _walk_errors(DomainError):
        yield kind_of(error)


def _walk_errors(parent: type[DomainError]) -> Iterator[type[DomainError]]:
    """Errors with a code, general ones before those that inherit from them."""
    for error in parent.__subclasses__():
        if hasattr(error, "code"):
            yield error
        yield from _walk_errors(error)
