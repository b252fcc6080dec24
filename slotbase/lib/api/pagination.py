"""Cursor pagination: constant cost however deep, `results`, `next`, `previous`."""

import re
from typing import Any

from django.core.exceptions import ValidationError
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from slotbase.lib.errors import ValidationFailed

_A_COUNT = re.compile(r"0*[1-9][0-9]{0,17}")


class NewestFirst(CursorPagination):
    """By primary key, which is time-ordered (UUIDv7) or counted up (bigint).

    DRF's own ignores a page size or another parameter that it does not understand, and
    a cursor that somebody made up costs it a 500; here they are refused by name.
    """

    page_size = 25
    max_page_size = 100
    page_size_query_param = "page_size"
    ordering = "-pk"

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any] | None:
        """The objects of the page that the request asks for.

        Raises:
            ValidationFailed: it asks for something that is not known here.
        """
        known = {self.page_size_query_param, self.cursor_query_param}
        if unknown := set(request.query_params) - known:
            raise ValidationFailed(**dict.fromkeys(unknown, "Is not known here."))
        self.key = queryset.model._meta.pk  # noqa: SLF001 - Django documents it
        return super().paginate_queryset(queryset, request, view)

    def get_page_size(self, request: Request) -> int:
        """What is asked for, up to the maximum."""
        asked = request.query_params.get(self.page_size_query_param)
        if asked is None:
            return self.page_size
        if not _A_COUNT.fullmatch(asked):
            raise ValidationFailed(page_size=f"Use 1 to {self.max_page_size}.")
        return min(int(asked), self.max_page_size)

    def decode_cursor(self, request: Request) -> Any:
        """Where the page begins, as an earlier answer gave it."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and self.key.to_python(cursor.position) is None:
                raise ValidationError("no position")
        except (NotFound, ValidationError) as error:
            raise ValidationFailed(cursor="Take it from an earlier answer.") from error
        return cursor
