"""Moments and amounts in words, as the language that is spoken now writes them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import translation
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext as _
from django.utils.translation.trans_real import parse_accept_lang_header

from slotbase.lib.letters import can_be_shown
from slotbase.lib.money import exponent, format_amount

CATALOGUES = Path(__file__).with_name("locale")
ENGLISH = "en"
# Moments that a text may name, and what it calls them.
_MOMENTS = {"offered_until": "until", "paid_at": "paid_on"}


def list_languages() -> list[str]:
    """English, and each language that has a file in `notifications/locale`."""
    compiled = CATALOGUES.glob("*/LC_MESSAGES/django.mo")
    return [ENGLISH, *sorted(each.parts[-3] for each in compiled)]


def language_of(locale: str) -> str:
    """The language for somebody of this locale: `de` for `de-AT`, English otherwise."""
    language = locale.replace("_", "-").partition("-")[0].lower()
    return language if language in list_languages() else ENGLISH


def language_asked_for(accept_language: str) -> str:
    """The language that a browser likes best of those that we speak; else English."""
    liked = (locale for locale, _ in parse_accept_lang_header(accept_language))
    ours = (each.partition("-")[0] for each in liked)
    return next((each for each in ours if each in list_languages()), ENGLISH)


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Within it, texts, dates and numbers are in this language."""
    with translation.override(language):
        yield


def to_one_line(text: str) -> str:
    """Without breaks, which would add headers or paragraphs of somebody's own."""
    return " ".join("".join(c if can_be_shown(c) else " " for c in text).split())


def put_in_words(context: Mapping[str, Any]) -> dict[str, Any]:
    """What templates need of a context: it, and its amounts and moments in words."""
    zone = ZoneInfo(context["time_zone"])
    words = {name: _plain(value) for name, value in context.items()}
    words |= {
        name.removesuffix("_minor"): say_money(value, context["currency"])
        for name, value in context.items()
        if name.endswith("_minor")
    }
    words |= {
        word: _say_moment(context[name], zone)
        for name, word in _MOMENTS.items()
        if name in context
    }
    words["venue_address"] = _say_address(context.get("venue_address", ""))
    words["when"] = _say_slot(context, zone)
    words["starts"] = _say_local(_local(context["start_time"], zone))
    if "expires_at" in context:
        words["expires"] = _say_time(context["expires_at"], zone)
    if context.get("was_local"):
        words["was"] = _say_local(datetime.fromisoformat(context["was_local"]))
    if "tax_rate" in context:
        words["rate"] = _say_rate(context["tax_rate"])
    return words


def _plain(value: Any) -> Any:
    return to_one_line(value) if isinstance(value, str) else value


def _say_address(address: str) -> str:
    return ", ".join(filter(None, map(to_one_line, address.splitlines())))


def say_money(amount_minor: int, currency: str) -> str:
    """Amount and currency: `1,250.00 EUR`, in German `1.250,00 EUR`."""
    amount = Decimal(format_amount(amount_minor, currency))
    digits = number_format(amount, exponent(currency), force_grouping=True)
    return f"{digits} {currency}"


def _say_rate(rate: Any) -> str:
    """`19 %`, `7.7 %`."""
    return f"{number_format(f'{Decimal(str(rate)).normalize():f}')} %"


def _say_time(moment: str, zone: ZoneInfo) -> str:
    """`13:00 (Europe/Berlin)`, of what is minutes away."""
    time = f"{_local(moment, zone):%H:%M}"
    return _("%(time)s (%(zone)s)") % {"time": time, "zone": zone.key}


def _say_moment(moment: str, zone: ZoneInfo) -> str:
    """`Friday, 27 November 2026, 13:00 (Europe/Berlin)`."""
    return f"{_say_local(_local(moment, zone))} ({zone.key})"


def _say_local(local: datetime) -> str:
    """`Friday, 27 November 2026, 13:00`, by the clocks that are meant."""
    return _("%(day)s, %(time)s") % {"day": _say_day(local), "time": f"{local:%H:%M}"}


def _say_day(local: datetime) -> str:
    # Translated as well; its letters are those of Django's filter `date`.
    return date_format(local, _("l, j F Y"))


def _say_slot(context: Mapping[str, Any], zone: ZoneInfo) -> str:
    """`Friday, 27 November 2026, 13:00 to 14:00 (Europe/Berlin)`."""
    start, end = (_local(context[name], zone) for name in ("start_time", "end_time"))
    if start.date() != end.date():
        words = {"start": _say_local(start), "end": _say_local(end), "zone": zone.key}
        return _("%(start)s to %(end)s (%(zone)s)") % words
    return _("%(day)s, %(start)s to %(end)s (%(zone)s)") % {
        "day": _say_day(start),
        "start": f"{start:%H:%M}",
        "end": f"{end:%H:%M}",
        "zone": zone.key,
    }


def _local(moment: str, zone: tzinfo) -> datetime:
    return datetime.fromisoformat(moment).astimezone(zone)
