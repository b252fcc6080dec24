"""A sandbox of its own for each module: these tests are about the sandbox."""

from collections.abc import Iterator

import pytest

from tests.sandbox.client import OwnSandbox


@pytest.fixture(scope="module")
def _own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSandbox]:
    sandbox = OwnSandbox(
        tmp_path_factory.mktemp("sandbox"),
        CLERK_SECRET_KEY="sk_test_sandbox",
        CLERK_AUTHORIZED_PARTIES="http://localhost",
    )
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(_own_sandbox: OwnSandbox) -> OwnSandbox:
    _own_sandbox.reset()
    return _own_sandbox
