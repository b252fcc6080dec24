"""Back office: what each message says, in each language, with data that nobody has."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin

from notifications.kinds import KINDS
from notifications.rendering import Rendered, render, render_push
from notifications.samples import PERSON, UNSUBSCRIBE_URL, VARIANTS, sample_of
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
    """A page of one kind: the mail in a frame, its text part, and the push.

    `?variant=` shows one of those of `samples.VARIANTS` in place of what is usual.
    """
    variant = _check(request, name, language)
    context = {
        **admin.site.each_context(request),
        "title": say_kind(name),
        "name": name,
        "language": language,
        "mail": _write_mail(name, language, variant),
        "push": _write_push(name, language, variant),
        "frame": _add(reverse("text_of_mail", args=[name, language]), variant),
        "variant": variant,
        "variants": [
            (each, say_kind(each or "usual"), _add(_url(name, language), each))
            for each in ("", *VARIANTS.get(name, ()))
        ],
        "kinds": [(say_kind(each), _url(each, language)) for each in KINDS],
        "languages": [
            (each, _add(_url(name, each), variant)) for each in list_languages()
        ],
    }
    response = TemplateResponse(request, "admin/texts.html", context)
    response["Content-Security-Policy"] = f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"
    return response


@xframe_options_sameorigin
def show_mail(request: HttpRequest, name: str, language: str) -> HttpResponse:
    """The HTML part as it is sent, under a policy of its own, for the frame."""
    mail = _write_mail(name, language, _check(request, name, language))
    if mail is None:
        raise Http404
    policy = {"Content-Security-Policy": POLICY_OF_MAILS}
    return HttpResponse(mail.html, headers=policy)


def _check(request: HttpRequest, name: str, language: str) -> str:
    """The variant that is asked for; empty for what is usual."""
    if not request.user.has_perm(MAY_SEE):
        raise PermissionDenied
    variant = request.GET.get("variant", "")
    is_known = not variant or variant in VARIANTS.get(name, {})
    if name not in KINDS or language not in list_languages() or not is_known:
        raise Http404
    return variant


def say_kind(name: str) -> str:
    """The kind in words: `Booking confirmed`."""
    return name.replace("_", " ").capitalize()


def _url(name: str, language: str) -> str:
    return reverse("texts_of", args=[name, language])


def _add(url: str, variant: str) -> str:
    return f"{url}?{urlencode({'variant': variant})}" if variant else url


def _write_mail(name: str, language: str, variant: str) -> Rendered | None:
    if Channel.EMAIL not in KINDS[name].channels:
        return None
    return render(
        name,
        sample_of(name, variant),
        person=PERSON,
        locale=language,
        unsubscribe_url=UNSUBSCRIBE_URL,
    )


def _write_push(name: str, language: str, variant: str) -> Any:
    if Channel.PUSH not in KINDS[name].channels:
        return None
    return render_push(name, sample_of(name, variant), language)
