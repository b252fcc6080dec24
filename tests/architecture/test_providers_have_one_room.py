"""SDKs and HTTP clients are imported below `slotbase/providers` and nowhere else."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source import PACKAGES, Source, breaches, planted

SDKS = {
    *("stripe", "resend", "firebase_admin", "google", "openai", "clerk_backend_api"),
    *("requests", "httpx", "httpx2", "aiohttp", "urllib3"),
}
ROOM = "slotbase/providers/"
# These speak to our own product, as its clients do.
CLIENTS_OF_OURS = ("slotbase/devstack/demo/", "bench/")


def sdks_elsewhere(source: Source) -> Iterator[str]:
    if source.path.startswith((ROOM, *CLIENTS_OF_OURS)):
        return
    for node in source.nodes(ast.Import, ast.ImportFrom):
        for name in _imported(node):
            if name.split(".")[0] in SDKS or name.startswith("urllib.request"):
                yield source.at(node, name)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{each.name}" for each in node.names]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []


def test_sdks_are_imported_by_providers_alone() -> None:
    assert breaches(sdks_elsewhere, *PACKAGES, "bench") == []


@pytest.mark.parametrize(
    "fault",
    [
        "import stripe",
        "from openai import OpenAI",
        "def f():\n    import requests.adapters",
        "from urllib import request",
        "if TYPE_CHECKING:\n    import httpx",
    ],
)
def test_an_sdk_elsewhere_would_be_seen(fault: str) -> None:
    assert [*sdks_elsewhere(planted(fault))]
