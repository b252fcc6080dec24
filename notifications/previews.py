"""Back office: what each message says, in each language, with data that nobody has."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin

from notifications.kinds import KINDS
from notifications.rendering import Rendered, render, render_push
from notifications.samples import PERSON, UNSUBSCRIBE_URL, sample_of
from notifications.states import Channel
from notifications.wording import list_languages
from slotbase.lib.middleware import CONTENT_SECURITY_POLICY

MAY_SEE = "notifications.view_notification"
# Mails carry their style, since mail programs load no other; nothing else may be done.
POLICY_OF_MAILS = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
)


def show_texts(
    request: HttpRequest, name: str = next(iter(KINDS)), language: str = "en"
) -> HttpResponse:
    """A page of one kind: the mail in a frame, its text part, and the push."""
    _check(request, name, language)
    context = {
        **admin.site.each_context(request),
        "title": say_kind(name),
        "name": name,
        "language": language,
        "mail": _write_mail(name, language),
        "push": _write_push(name, language),
        "kinds": [(say_kind(each), _url(each, language)) for each in KINDS],
        "languages": [(each, _url(name, each)) for each in list_languages()],
    }
    response = TemplateResponse(request, "admin/texts.html", context)
    response["Content-Security-Policy"] = f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"
    return response


@xframe_options_sameorigin
def show_mail(request: HttpRequest, name: str, language: str) -> HttpResponse:
    """The HTML part as it is sent, under a policy of its own, for the frame."""
    _check(request, name, language)
    mail = _write_mail(name, language)
    if mail is None:
        raise Http404
    policy = {"Content-Security-Policy": POLICY_OF_MAILS}
    return HttpResponse(mail.html, headers=policy)


def _check(request: HttpRequest, name: str, language: str) -> None:
    if not request.user.has_perm(MAY_SEE):
        raise PermissionDenied
    if name not in KINDS or language not in list_languages():
        raise Http404


def say_kind(name: str) -> str:
    """The kind in words: `Booking confirmed`."""
    return name.replace("_", " ").capitalize()


def _url(name: str, language: str) -> str:
    return reverse("texts_of", args=[name, language])


def _write_mail(name: str, language: str) -> Rendered | None:
    if Channel.EMAIL not in KINDS[name].channels:
        return None
    return render(
        name,
        sample_of(name),
        person=PERSON,
        locale=language,
        unsubscribe_url=UNSUBSCRIBE_URL,
    )


def _write_push(name: str, language: str) -> Any:
    if Channel.PUSH not in KINDS[name].channels:
        return None
    return render_push(name, sample_of(name), language)
