"""Turns a kind of message and its context into a mail, or into a push.

All words of a mail stand once, as plain text, in `templates/email/<kind>.txt`: the
first line is the subject, what follows are paragraphs. Both its parts are made of them,
by `base.html` and `base.txt`, so they say the same, and what people typed is text in
both. `templates/push/<kind>.txt` has a title and a body.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.template import Context, Engine

from notifications.calendars import attach_calendar
from notifications.errors import UnknownTemplate
from notifications.kinds import Kind, find_kind
from notifications.states import Channel
from notifications.wording import language_of, put_in_words, speaking, to_one_line

LONGEST_SUBJECT = 200
LONGEST_TITLE, LONGEST_BODY = 100, 300
_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Rendered:
    """A mail, ready to be sent; `attachments` are as Resend takes them."""

    subject: str
    html: str
    text: str
    attachments: tuple[Mapping[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the column that keeps it."""
        mail = {"subject": self.subject, "html": self.html, "text": self.text}
        files = [dict(each) for each in self.attachments]
        return {**mail, "attachments": files} if files else mail


@dataclass(frozen=True)
class Pushed:
    """A push, ready to be sent."""

    title: str
    body: str


def render(
    name: str,
    context: Mapping[str, Any],
    *,
    person: str,
    locale: str = "en",
    unsubscribe_url: str = "",
    at: datetime | None = None,
) -> Rendered:
    """The mail for a person of this name, which may be empty, in their language.

    `at` is when it was caused, which its calendar file tells. A link to unsubscribe is
    only in mails that one may choose not to get.

    Raises:
        UnknownTemplate: there is no such mail, or the context lacks something.
    """
    kind = _find(name, context, Channel.EMAIL)
    language = language_of(locale)
    with speaking(language):
        words = put_in_words(context)
        subject, *paragraphs = _split(_fill(f"email/{name}.txt", words))
        page = {
            **words,
            "language": language,
            "person": to_one_line(person),
            "subject": subject,
            "lead": paragraphs[0],
            "facts": _list_facts(words),
            "paragraphs": paragraphs[1:],
            "unsubscribe_url": unsubscribe_url if kind.is_optional else "",
        }
        html = _fill("email/base.html", page, autoescape=True)
        text = _fill("email/base.txt", page).strip() + "\n"
    files = attach_calendar(kind.calendar, context, at)
    return Rendered(subject[:LONGEST_SUBJECT], html, text, files)


def render_push(name: str, context: Mapping[str, Any], locale: str = "en") -> Pushed:
    """The push in this language, short enough for a screen.

    Raises:
        UnknownTemplate: there is no such push, or the context lacks something.
    """
    _find(name, context, Channel.PUSH)
    with speaking(language_of(locale)):
        title, *body = _lines(_fill(f"push/{name}.txt", put_in_words(context)))
    return Pushed(_cut(title, LONGEST_TITLE), _cut(" ".join(body), LONGEST_BODY))


def _find(name: str, context: Mapping[str, Any], channel: Channel) -> Kind:
    kind = find_kind(name, context)
    if channel not in kind.channels:
        raise UnknownTemplate(f"{name} does not go out by {channel.lower()}.")
    return kind


def _fill(name: str, words: Mapping[str, Any], *, autoescape: bool = False) -> str:
    template = Engine.get_default().get_template(name)
    return template.render(Context(dict(words), autoescape=autoescape))


def _split(text: str) -> list[str]:
    """Paragraphs of one line each; the layout of a template is not that of a mail."""
    return [*filter(None, map(to_one_line, _BLANK_LINES.split(text)))]


def _lines(text: str) -> list[str]:
    return [*filter(None, map(to_one_line, text.splitlines()))]


def _list_facts(words: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What, where and when; names are ours, so the first colon ends them."""
    lines = _lines(_fill("email/facts.txt", words))
    parts = (line.partition(": ") for line in lines)
    return [(name, value) for name, _, value in parts]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
