"""The codes of errors: documented, unique in meaning, and shown on a page."""

import re
from collections import defaultdict
from pathlib import Path

from django.test import Client

from slotbase.lib.api.catalogue import list_kinds, walk_kinds
from slotbase.lib.api.problems import Kind

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/errors.md"
LINE = re.compile(r"^\| `(\w+)` \| (\d{3}) \|(.*)\|$", re.MULTILINE)
# What version 1 of the API promises, now or with a later feature.
PROMISED = {
    *("validation_error", "idempotency_key_required", "token_missing", "token_invalid"),
    *("token_expired", "session_revoked", "payment_required", "card_declined"),
    *("permission_denied", "account_disabled", "not_found", "method_not_allowed"),
    *("unsupported_media_type", "slot_unavailable", "hold_released", "invalid_state"),
    *("not_cancellable", "cancellation_closed", "idempotency_in_progress"),
    *("version_conflict", "resource_closed", "refund_exceeds_balance", "hold_limit"),
    *("payment_disputed", "overpayment", "possible_duplicate", "approval_required"),
    *("payment_required_to_move", "hold_expired", "payload_too_large", "rate_limited"),
    *("idempotency_key_reused", "nonexistent_time", "ambiguous_time", "try_again"),
    "auth_unavailable",
}


def documented(section: str) -> dict[str, int]:
    """Code and status of each line of a section of the page."""
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return {code: int(status) for code, status, _ in LINE.findall(text)}


def test_every_code_is_documented_with_its_status_and_no_other_is() -> None:
    assert documented("Codes") == {kind.code: kind.status for kind in list_kinds()}


def test_codes_of_later_features_do_not_exist_yet() -> None:
    later = documented("Codes that come with later features")

    assert later.keys().isdisjoint(kind.code for kind in list_kinds())
    assert later.keys() | documented("Codes").keys() >= PROMISED


def test_every_code_says_when_it_comes_and_what_to_do() -> None:
    for code, _, words in LINE.findall(PAGE.read_text()):
        assert all(cell.strip().endswith(".") for cell in words.split("|")), code


def test_a_code_has_one_status_and_one_advice_whoever_reports_it() -> None:
    meanings: dict[str, set[tuple[int, bool]]] = defaultdict(set)
    for kind in walk_kinds():
        meanings[kind.code].add((kind.status, kind.retryable))

    assert {code: found for code, found in meanings.items() if len(found) > 1} == {}


def test_a_code_has_one_title_unless_it_says_what_was_not_found() -> None:
    titles: dict[str, set[str]] = defaultdict(set)
    for kind in walk_kinds():
        titles[kind.code].add(kind.title)

    assert {code for code, found in titles.items() if len(found) > 1} == {"not_found"}


def test_only_what_may_succeed_later_is_retryable() -> None:
    retryable = {kind.code for kind in list_kinds() if kind.retryable}

    assert retryable == {
        *("idempotency_in_progress", "hold_limit", "waitlist_limit", "rate_limited"),
        *("auth_unavailable", "try_again"),
    }


def test_the_page_has_a_line_for_every_code() -> None:
    answer = Client().get("/api/docs/errors/")

    assert answer.status_code == 200
    text = answer.content.decode()
    for kind in list_kinds():
        assert f'<tr id="{kind.code}">' in text
        assert f"<td>{kind.title}.</td>" in text


def test_general_kinds_come_before_particular_ones() -> None:
    [not_found] = [kind for kind in list_kinds() if kind.code == "not_found"]

    assert not_found == Kind(404, "not_found", "There is nothing here for you")
