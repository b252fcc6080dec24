"""What tests that ask every address have in common."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.template.backends.django import Template


@pytest.fixture
def _nothing_is_drawn() -> Iterator[None]:
    """Who gets in is decided before a page is drawn; other tests look at pages."""
    with mock.patch.object(Template, "render", return_value=""):
        yield


@pytest.fixture
def _no_limits(settings: Any) -> None:
    for name in ("USER", "ADDRESS", "HOLDS", "EXPORTS"):
        setattr(settings, f"THROTTLE_{name}_PER_MINUTE", 10_000_000)
