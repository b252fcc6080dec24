"""A clock to move in the transaction of a test."""

from collections.abc import Iterator

import pytest

from tests.adversity import Clock


@pytest.fixture
def clock(db: None) -> Iterator[Clock]:
    """A clock to move; most tests here need no database of their own for it."""
    clock = Clock()
    yield clock
    clock.reset()
