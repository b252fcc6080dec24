"""The runbooks: what staff do about a kind of case or an alert, one page for each.

They are files of `docs/runbooks`, written for people who have no checkout: the back
office shows them. `refund_failure` is `refund-failure.md`. Nothing else can be asked
for.
"""

from pathlib import Path

from django.conf import settings
from django.urls import reverse

PLACE = Path(settings.BASE_DIR).joinpath("docs", "runbooks")


def runbook_url(name: str) -> str:
    """The path of the page in the back office, such as /admin/runbooks/late_money/."""
    return reverse("runbook", args=[name])


def read_runbook(name: str) -> str | None:
    """The Markdown of a page; None if there is no such page."""
    page = _pages().get(name)
    return page.read_text(encoding="utf-8") if page else None


def list_runbooks() -> list[str]:
    """The names of all pages."""
    return sorted(_pages())


def _pages() -> dict[str, Path]:
    """Of kinds of cases, and in a folder of their own of conditions."""
    files = (*PLACE.glob("*.md"), *PLACE.glob("alerts/*.md"))
    return {
        page.stem.replace("-", "_"): page for page in files if page.stem != "README"
    }
