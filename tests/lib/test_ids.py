"""Ids are UUIDs of version 7: unique, and in the order in which they were made."""

import time
import uuid

from slotbase.lib.ids import uuid7


def milliseconds(made: uuid.UUID) -> int:
    return made.int >> 80


def test_an_id_says_that_it_is_of_version_7() -> None:
    for _ in range(1000):
        made = uuid7()
        assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_an_id_begins_with_the_time_it_was_made_at() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000

    assert before <= milliseconds(made) <= after


def test_ids_of_different_milliseconds_are_in_order() -> None:
    made = []
    for _ in range(20):
        made.append(uuid7())
        time.sleep(0.002)

    assert made == sorted(made)
    assert [str(each) for each in made] == sorted(str(each) for each in made)


def test_ids_differ_also_within_a_millisecond() -> None:
    made = [uuid7() for _ in range(100_000)]

    assert len(set(made)) == len(made)
    # All 74 random bits are random: each is set sometimes and not always.
    seen = unseen = 0
    for each in made[:1000]:
        seen |= each.int
        unseen |= ~each.int
    assert (seen & unseen & (1 << 80) - 1).bit_count() == 74
