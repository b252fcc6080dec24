"""What a message says, as it was sent or else as it would be sent now."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications.models import Notification
from notifications.rendering import render, render_push
from notifications.services.messages import UNWRITTEN
from notifications.states import Channel


def show_words(message: Notification) -> SafeString | str:
    """Subject and text: staff read them out to whoever was not reached."""
    kept = message.rendered
    if kept is not None and kept != UNWRITTEN:
        return _format(kept["subject"], kept["text"])
    try:
        subject, text = _write_now(message)
    except Exception:  # noqa: BLE001 - an old message may lack what a template needs now
        return "It cannot be written any more."
    note = format_html('<p class="quiet">{}</p>', "As it would be sent now:")
    return note + _format(subject, text)


def _format(subject: str, text: str) -> SafeString:
    return format_html('<pre class="payload">{}\n\n{}</pre>', subject, text)


def _write_now(message: Notification) -> tuple[str, str]:
    name, context, person = message.template, message.context, message.recipient
    if message.channel == Channel.PUSH:
        push = render_push(name, context, person.locale)
        return push.title, push.body
    mail = render(name, context, person=person.name, locale=person.locale)
    return mail.subject, mail.text
