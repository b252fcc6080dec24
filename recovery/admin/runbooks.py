"""Back office: the runbooks, for everybody who works here."""

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from recovery.backoffice import say_action
from recovery.runbooks import list_runbooks, read_runbook, runbook_url
from slotbase.lib.markdown import render


def show_runbook(request: HttpRequest, name: str) -> HttpResponse:
    """One page, with links to the others; `admin_view` lets in staff alone."""
    text = read_runbook(name)
    if text is None:
        raise Http404
    heading, _, body = text.partition("\n")
    context = {
        **admin.site.each_context(request),
        "title": say_action(name),
        "eyebrow": heading.partition(": ")[2],
        "body": render(body, link=_lead_to),
        "others": [(say_action(each), runbook_url(each)) for each in list_runbooks()],
    }
    return TemplateResponse(request, "admin/runbook.html", context)


def _lead_to(target: str) -> str:
    """Other runbooks, and what is on the web; the other pages are not shipped."""
    if target.startswith(("https://", "http://")):
        return target
    name = target.partition("#")[0].removesuffix(".md").replace("-", "_")
    return runbook_url(name) if name in list_runbooks() else ""
