"""Identifiers that may leave the process.

Rows have a UUID version 7 (RFC 9562, section 5.7), bookings a reference for people.
"""

import os
import time
import uuid
from datetime import timedelta

_MS_SHIFT, _VERSION_7, _RFC_VARIANT = 80, 0x7 << 76, 0b10 << 62
_RANDOM_BITS = (1 << 76) - 1 & ~(0b11 << 62)


def uuid7() -> uuid.UUID:
    """A new id, known before the insert and nearly ordered by its creation.

    48 bits of Unix milliseconds, then version, variant and 74 random bits.
    """
    milliseconds = time.time_ns() // 1_000_000
    random_bits = int.from_bytes(os.urandom(10)) & _RANDOM_BITS
    return uuid.UUID(
        int=(milliseconds << _MS_SHIFT) | _VERSION_7 | _RFC_VARIANT | random_bits
    )


def oldest_id(age: timedelta) -> uuid.UUID:
    """A bound for ids: those that were made within this time are not below it."""
    milliseconds = (time.time_ns() // 1_000_000) - age // timedelta(milliseconds=1)
    return uuid.UUID(int=milliseconds << _MS_SHIFT)


def as_reference(typed: str) -> str:
    """A reference as we write it: in capitals, with a hyphen in the middle."""
    letters = typed.strip().upper().replace("-", "")
    return f"{letters[:5]}-{letters[5:]}" if len(letters) > 5 else letters
