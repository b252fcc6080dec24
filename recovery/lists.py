"""Back office lists: filters by a column's values, and one deed for selected rows."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from recovery.backoffice import say_action
from slotbase.lib.backoffice import ModelAdmin
from slotbase.lib.errors import DomainError

MAX_AT_ONCE = 100  # each is a transaction of its own, and all of them one request


def do_to_each(
    request: HttpRequest, rows: QuerySet[Any], do: Callable[[Any], None]
) -> None:
    """Do it to the selected rows, and say for how many it could not be done."""
    ids = list(rows.values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
    if len(ids) > MAX_AT_ONCE:
        messages.error(request, f"At most {MAX_AT_ONCE} at once: nothing was done.")
        return
    refused = [why for why in (_refusal(do, pk) for pk in ids) if why]
    if len(refused) < len(ids):
        messages.success(request, f"{len(ids) - len(refused)} will be tried again.")
    for why in sorted(set(refused)):
        messages.error(request, f"{refused.count(why)} left alone: {why}")


def _refusal(do: Callable[[Any], None], pk: Any) -> str:
    try:
        do(pk)
    except DomainError as error:
        return str(error)
    return ""


class ValueFilter(admin.SimpleListFilter):
    """A filter by one column, which offers what `values` says."""

    parameter_name: str

    def values(self, page: ModelAdmin[Any]) -> Iterable[str]:
        """The values to choose from."""
        raise NotImplementedError

    def say(self, value: str) -> str:
        """The words for a value."""
        return say_action(value)

    def lookups(
        self,
        request: HttpRequest,  # noqa: ARG002
        model_admin: ModelAdmin[Any],
    ) -> list[tuple[str, str]]:
        """Each value with its words."""
        return [(value, self.say(value)) for value in sorted(self.values(model_admin))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Rows with the chosen value."""
        chosen = {self.parameter_name: self.value()}
        return queryset.filter(**chosen) if self.value() else queryset


class RecentValuesFilter(ValueFilter):
    """Offers the values of the newest rows: DISTINCT over all would take long."""

    def values(self, page: ModelAdmin[Any]) -> Iterable[str]:
        """Those of the last thousand rows."""
        rows: QuerySet[Any] = page.model._default_manager.all()  # noqa: SLF001 - Django's public name
        newest = rows.order_by("-pk")
        return set(newest.values_list(self.parameter_name, flat=True)[:1000])
