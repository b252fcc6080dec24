"""The runbooks: what staff do about a kind of case or an alert, one page for each.

They are files of `docs/runbooks`, written for people who have no checkout: the back
office shows them. `refund_failure` is `refund-failure.md`.
"""

import re
from pathlib import Path

from django.conf import settings
from django.urls import reverse

PLACE = Path(settings.BASE_DIR).joinpath("docs", "runbooks")
# Also keeps whoever asks for a page inside the folder.
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


def runbook_url(name: str) -> str:
    """The path of the page in the back office, such as /admin/runbooks/late_money/."""
    return reverse("runbook", args=[name])


def read_runbook(name: str) -> str | None:
    """The Markdown of a page; None if there is no such page."""
    page = PLACE.joinpath(f"{name.replace('_', '-')}.md")
    if not _NAME.match(name) or not page.is_file():
        return None
    return page.read_text(encoding="utf-8")


def list_runbooks() -> list[str]:
    """The names of all pages."""
    files = (page.stem for page in PLACE.glob("*.md") if page.stem != "README")
    return sorted(stem.replace("-", "_") for stem in files)
