"""Seals what must not be read in a backup or a dump, such as tokens of devices."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_PURPOSE = b"slotbase.sealing:"
# Of Fernet: its version, and what stands around whole blocks of 16 bytes.
_VERSION, _AROUND = b"\x80", 1 + 8 + 16 + 32


class Unreadable(Exception):
    """It was sealed under another SECRET_KEY that is no fallback any more."""


def seal(text: str) -> str:
    """The text, to be kept; whoever has not SECRET_KEY cannot read it."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """The text that was sealed, under SECRET_KEY or one of its fallbacks.

    Raises:
        Unreadable: under none of them, or nothing was sealed at all.
    """
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable from None


def reseal(sealed: str) -> str:
    """The same under SECRET_KEY, so that no fallback is needed; as it is if it was.

    Raises:
        Unreadable: under no key, or nothing was sealed at all.
    """
    try:
        Fernet(_derive(settings.SECRET_KEY)).decrypt(sealed.encode())
    except InvalidToken:
        return seal(unseal(sealed))
    return sealed


def is_sealed(text: str) -> bool:
    """Whether it looks as if `seal` had made it, under whatever key."""
    try:
        data = base64.urlsafe_b64decode(text)
    except ValueError:
        return False
    return data.startswith(_VERSION) and (len(data) - _AROUND) % 16 == 0


def _fernet() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_derive(key)) for key in keys])


def _derive(secret: str) -> bytes:
    # The secret is long and random (slotbase/lib/checks.py): one hash is enough.
    digest = hashlib.sha256(_PURPOSE + secret.encode()).digest()
    return base64.urlsafe_b64encode(digest)
