"""Turns a template and its context into a mail: subject, text and HTML.

The templates are in `templates/email`, three files each. Contexts hold numbers and
moments; words for people are made here, in the venue's zone and currency.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string

from notifications.errors import UnknownTemplate
from slotbase.lib.money import format_money

_SLOT = frozenset({"title", "venue_name", "time_zone", "start_time", "end_time"})
# What goes back, by card or at the venue, and what is kept or still to be paid.
_MONEY_BACK = frozenset(
    {"currency", "refund_minor", "payout_minor", "fee_kept_minor", "fee_due_minor"}
)
LONGEST_SUBJECT = 200


@dataclass(frozen=True)
class Template:
    """What a template is made of; a new version for a new meaning of its context."""

    needs: frozenset[str]
    version: int = 1


TEMPLATES: Mapping[str, Template] = {
    "booking_confirmed": Template(_SLOT | {"reference", "price_minor", "currency"}),
    "booking_moved": Template(_SLOT | {"reference", "currency", "was_local"}),
    "booking_cancelled": Template(
        _SLOT | _MONEY_BACK | {"reference", "in_dispute_minor"}, version=2
    ),
    "refund_promised": Template(_SLOT | _MONEY_BACK | {"reference"}),
    "late_payment_refunded": Template(_SLOT | _MONEY_BACK | {"is_all"}, version=2),
    "waitlist_offered": Template(_SLOT | {"price_minor", "currency", "offered_until"}),
    "waitlist_lapsed": Template(_SLOT | {"currency"}),
    "refund_delayed": Template(_SLOT | {"reference", "refund_minor", "currency"}),
}


@dataclass(frozen=True)
class Rendered:
    """A mail, ready to be sent."""

    subject: str
    html: str
    text: str

    def as_json(self) -> dict[str, str]:
        """For the column that keeps it."""
        return asdict(self)


def find_template(name: str, context: Mapping[str, Any]) -> Template:
    """The template of this name, if the context has all that it needs.

    Raises:
        UnknownTemplate: there is none, or something is missing.
    """
    template = TEMPLATES.get(name)
    if template is None:
        raise UnknownTemplate(f"There is no template {name}.")
    if missing := template.needs - context.keys():
        raise UnknownTemplate(f"{name} also needs: {', '.join(sorted(missing))}.")
    return template


def render(name: str, context: Mapping[str, Any], *, person: str) -> Rendered:
    """The mail for a person of this name, which may be empty.

    Raises:
        UnknownTemplate: there is none, or the context lacks something.
    """
    find_template(name, context)
    words = {**context, **_in_words(context), "person": person}
    subject, text, html = (
        render_to_string(f"email/{name}.{kind}", words)
        for kind in ("subject.txt", "txt", "html")
    )
    return Rendered(
        subject=_one_line(subject)[:LONGEST_SUBJECT],
        html=html,
        text=text.strip() + "\n",
    )


def _one_line(text: str) -> str:
    # Line breaks would let a title add headers of its own.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _in_words(context: Mapping[str, Any]) -> dict[str, str]:
    currency = context["currency"]
    amounts = {
        name.removesuffix("_minor"): format_money(value, currency)
        for name, value in context.items()
        if name.endswith("_minor")
    }
    words = {**amounts, "when": _say_slot(context), "was": ""}
    if "offered_until" in context:
        words["until"] = _say_moment(context["offered_until"], context["time_zone"])
    if context.get("was_local"):
        words["was"] = _say_local(datetime.fromisoformat(context["was_local"]))
    return words


def _say_moment(moment: str, time_zone: str) -> str:
    """`Friday, 27 November 2026, 13:00 (Europe/Berlin)`."""
    local = datetime.fromisoformat(moment).astimezone(ZoneInfo(time_zone))
    return f"{_say_local(local)} ({time_zone})"


def _say_local(local: datetime) -> str:
    """`Friday, 27 November 2026, 13:00`, by the clocks that are meant."""
    return f"{_say_day(local)}, {local:%H:%M}"


def _say_day(local: datetime) -> str:
    return f"{local:%A}, {local.day} {local:%B %Y}"


def _say_slot(context: Mapping[str, Any]) -> str:
    """`Friday, 27 November 2026, 13:00 to 14:00 (Europe/Berlin)`."""
    zone = ZoneInfo(context["time_zone"])
    start, end = (
        datetime.fromisoformat(context[name]).astimezone(zone)
        for name in ("start_time", "end_time")
    )
    until = f"{end:%H:%M}"
    if start.date() != end.date():
        until = f"{_say_day(end)}, {until}"
    return f"{_say_day(start)}, {start:%H:%M} to {until} ({zone.key})"
