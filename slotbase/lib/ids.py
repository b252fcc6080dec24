"""Identifiers that may leave the process: UUID version 7 (RFC 9562, section 5.7)."""

import os
import time
import uuid

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
