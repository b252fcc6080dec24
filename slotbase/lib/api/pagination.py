"""Cursor pagination: constant cost however deep, `results`, `next`, `previous`."""

from rest_framework.pagination import CursorPagination


class NewestFirst(CursorPagination):
    """By primary key, which is time-ordered (UUIDv7) or counted up (bigint)."""

    page_size = 25
    max_page_size = 100
    page_size_query_param = "page_size"
    ordering = "-pk"
