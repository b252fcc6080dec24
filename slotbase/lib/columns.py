"""What the back office shows in lists and on pages: each kind of value in one way.

Times are in the venue's zone and say so, money has its currency, a state is a badge.
The functions at the end make columns: `when = venue_slot()` in the body of a page.
"""

from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import reduce
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from slotbase.lib.masking import mask_contact
from slotbase.lib.money import format_money

# Django calls a column with its page, of which we use `zone_of`, and a row.
Column = Callable[[Any, Any], SafeString]

TO = "\N{EN DASH}"


def follow(row: Any, path: str) -> Any:
    """The value at the end of a path such as `resource__venue`."""
    return reduce(getattr, path.split("__"), row)


def format_moment(moment: datetime, zone: tzinfo) -> SafeString:
    """Day, time and zone: `Tue 24 Nov 2026, 18:00:05 CET`."""
    local = moment.astimezone(zone)
    return _time(local, f"{local:%H:%M:%S %Z}")


def format_slot(start: datetime, end: datetime, zone: tzinfo) -> SafeString:
    """From when to when; another weekday and another offset are said."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    shift = "" if first.utcoffset() == last.utcoffset() else f" {first:%Z}"
    weekday = "" if first.date() == last.date() else f"{last:%a} "
    return _time(first, f"{first:%H:%M}{shift}{TO}{weekday}{last:%H:%M %Z}")


def format_state(state: str) -> SafeString:
    """A badge; backoffice.css knows the colour of each state."""
    words = state.replace("_", " ").capitalize()
    return format_html('<span class="badge badge-{}">{}</span>', state.lower(), words)


def format_link(page: str, row: Any, words: Any = None) -> SafeString:
    """A link to the page of a row, such as `bookings_booking`."""
    url = reverse(f"admin:{page}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, words or row)


def _time(local: datetime, hours: str) -> SafeString:
    # In two parts, between which a narrow column may break the line.
    return format_html(
        '<time datetime="{}"><span>{},</span> <span>{}</span></time>',
        local.isoformat(),
        f"{local:%a} {local.day} {local:%b %Y}",
        hours,
    )


def venue_time(field: str, label: str = "") -> Column:
    """A moment in the zone of the row's venue, or in UTC where there is no venue."""

    @admin.display(ordering=field, description=label or field.replace("_", " "))
    def column(page: Any, row: Any) -> Any:
        moment = getattr(row, field)
        if moment is None:
            return page.get_empty_value_display()
        return format_moment(moment, page.zone_of(row))

    return column


def venue_slot(label: str = "when") -> Column:
    """From `start_time` to `end_time` in the zone of the row's venue."""

    @admin.display(ordering="start_time", description=label)
    def column(page: Any, row: Any) -> SafeString:
        return format_slot(row.start_time, row.end_time, page.zone_of(row))

    return column


def money(
    field: str = "price_minor", *, currency: str = "currency", label: str = "price"
) -> Column:
    """An amount in minor units, if any; `currency` is the path to its currency."""

    @admin.display(ordering=field, description=label)
    def column(page: Any, row: Any) -> SafeString:
        amount = getattr(row, field)
        if amount is None:
            return SafeString(page.get_empty_value_display())
        words = format_money(amount, follow(row, currency))
        return format_html('<span class="money">{}</span>', words)

    return column


def contact(path: str, label: str) -> Column:
    """An address or a number, masked unless the page was asked to show it.

    Never sorted by: the order of a list would tell what the mask hides.
    """

    @admin.display(description=label)
    def column(page: Any, row: Any) -> Any:
        value = follow(row, path)
        if not value:
            return page.get_empty_value_display()
        is_shown = getattr(row, "sees_contact_data", False)
        return value if is_shown else mask_contact(value)

    return column


def badge(field: str = "status") -> Column:
    """A state."""

    @admin.display(ordering=field, description=field.replace("_", " "))
    def column(_: Any, row: Any) -> SafeString:
        return format_state(getattr(row, field))

    return column
