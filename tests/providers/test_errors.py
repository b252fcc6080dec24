"""A provider's error tells what is known, and nothing that the provider wrote."""

import pytest

from slotbase.providers.errors import Outcome, ProviderError


def test_it_names_the_provider_the_outcome_and_the_status() -> None:
    error = ProviderError(
        Outcome.UNKNOWN, provider="stripe", code="lock_timeout", http_status=500
    )

    assert str(error) == "stripe: unknown (lock_timeout, HTTP 500)"


@pytest.mark.parametrize(
    "code", ["No such customer: 'alice@example.org'", "", "a" * 65, "x\ny", "card 4242"]
)
def test_text_instead_of_a_code_is_not_let_through(code: str) -> None:
    error = ProviderError(Outcome.REFUSED, provider="stripe", code=code)

    assert error.code == "unrecognised"
    assert str(error) == "stripe: refused (unrecognised)"
