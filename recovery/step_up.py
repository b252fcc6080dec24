"""Step-up: before money, rights and exports, whoever sits there shows a code again.

The page that asks carries the whole form along, so that nothing typed is lost. What
codes and sessions are is known above: `use` says whom to ask.

To mark a button: `RowAction(needs_step_up=True)`. To mark a page: `@asks_first` on the
view, or `ask_first(request)` in it, after it has looked whether they may.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

View = TypeVar("View", bound=Callable[..., HttpResponse])
CODE = "step_up_code"
LEFT_OUT = {CODE, "csrfmiddlewaretoken"}
WRONG = "This code is not right, or was used already. Type the next one."


@dataclass(frozen=True)
class Check:
    """Whether a code was shown lately, and whether this one is right, which uses it."""

    is_fresh: Callable[[HttpRequest], bool]
    show_code: Callable[[HttpRequest, str], bool]


# Until somebody says how, no code is right.
_check = Check(lambda _: False, lambda _request, _code: False)


def use(check: Check) -> None:
    """Codes and sessions are looked at like this."""
    global _check  # noqa: PLW0603 - said once, when the app above starts
    _check = check


def ask_first(request: HttpRequest) -> HttpResponse | None:
    """The page that asks for a code; None: it was shown, go on with the same form."""
    if request.method != "POST":
        return None
    code = request.POST.get(CODE)
    if not _check.is_fresh(request):
        if code is None:
            return _page(request)
        if not _check.show_code(request, code):
            return _page(request, wrong=WRONG)
    if code is not None:
        _forget_code(request)
    return None


def asks_first(view: View) -> View:
    """A page of an admin class whose form needs a code shown lately."""

    @functools.wraps(view)
    def ask_or_show(
        page: Any, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        return ask_first(request) or view(page, request, *args, **kwargs)

    ask_or_show.asks_first = True  # type: ignore[attr-defined]
    return cast("View", ask_or_show)


def _page(request: HttpRequest, wrong: str = "") -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Show your code again",
        "kept": _kept(request),
        "wrong": wrong,
    }
    return TemplateResponse(request, "admin/step_up.html", context, status=403)


def _kept(request: HttpRequest) -> list[tuple[str, Any]]:
    """All that was typed but passwords: no page has those in it."""
    return [
        (name, value)
        for name, values in request.POST.lists()
        if name not in LEFT_OUT and "password" not in name
        for value in values
    ]


def _forget_code(request: HttpRequest) -> None:
    form = request.POST.copy()
    del form[CODE]
    request.POST = form  # type: ignore[assignment]
