"""S10, S23: the list of what is called is complete, and says the usual hosts."""

import re
from urllib.parse import urlsplit

from slotbase import settings as product
from slotbase.lib import egress
from slotbase.providers.reports import CONFIGURED_BY
from tests.architecture.source import ROOT

PAGE = (ROOT / "docs/explanation/what-leaves-the-house.md").read_text()
SETTINGS = (ROOT / "slotbase/settings.py").read_text()
CALLS = PAGE.split("## Who calls SlotBase")[0]


def rows() -> list[list[str]]:
    lines = [line for line in CALLS.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[1:]]


def test_every_address_that_is_called_has_a_row() -> None:
    named = {name for row in rows() for name in re.findall(r"`([A-Z_]+)`", row[1])}

    assert named == {*egress.CALLED, "FCM_CREDENTIALS"}
    assert all(hasattr(product, name) for name in named)


def test_the_usual_hosts_are_those_of_the_settings() -> None:
    for name in egress.CALLED:
        default = re.search(rf'{name} = env.str\("{name}", default="(.*?)"\)', SETTINGS)
        assert default, name
        (row,) = [row for row in rows() if f"`{name}`" in row[1]]
        host = urlsplit(default[1]).hostname
        assert (f"`{host}`" in row[2]) if host else row[2].startswith("yours"), name


def test_every_provider_that_is_known_is_named() -> None:
    words = {"clerk": "Clerk", "stripe": "Stripe", "resend": "Resend"}
    words |= {
        "fcm": "Firebase",
        "analytics": "analytics",
        "alerts": "alerts",
        "openai": "OpenAI",
    }
    assert set(CONFIGURED_BY) <= set(words)
    for word in words.values():
        assert word in CALLS


def test_every_row_says_how_to_do_without() -> None:
    assert all(len(row) == 6 and all(row) for row in rows())
