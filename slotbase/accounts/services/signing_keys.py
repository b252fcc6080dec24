"""Clerk's public keys: fetched rarely, stored in PostgreSQL, kept in each process.

A request needs no Clerk: the stored keys serve for CLERK_KEYS_MAX_AGE_SECONDS after the
last answer. A token with an unknown key makes one process ask, at most once a minute;
`attempted_at` is the right to ask, won by one conditional UPDATE. Anybody can make up
unknown keys, so few threads of a process ask or wait; the others answer at once. All
stamps here are wall clock, like those of the tokens which the keys sign.

CLERK_JWT_KEYS need no answer of Clerk at all. They have no ids: one of them is the key
of a token if it made the signature.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from django.db.models import Q

from slotbase.accounts.errors import AuthUnavailable, TokenInvalid
from slotbase.accounts.models import SigningKeySet
from slotbase.accounts.tokens import is_signed_by, read_key_id
from slotbase.lib.pem import read_public_key
from slotbase.providers.clerk import client
from slotbase.providers.errors import ProviderError

ROW = 1
REREAD_SECONDS = 5
ASK_AGAIN_AFTER = timedelta(seconds=60)
# Without any usable key nobody can sign in at all: try harder, still not per request.
ASK_AGAIN_WITHOUT_KEYS_AFTER = timedelta(seconds=10)

# The client gives up after three seconds; then nobody waits any longer.
LONGEST_ATTEMPT = timedelta(seconds=4)
LOOK_AGAIN_SECONDS = 0.05
# Of one process: one asks Clerk and two wait. All web threads together serve everybody.
SEATS = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StoredKeys:
    """The stored row: the keys by their id, and what is known of how fresh they are."""

    by_id: Mapping[str, RSAPublicKey] = field(default_factory=dict)
    fetched_at: datetime | None = None
    attempted_at: datetime | None = None
    failed_at: datetime | None = None

    @property
    def are_usable(self) -> bool:
        """Whether Clerk's last answer is recent enough to be believed."""
        if self.fetched_at is None:
            return False
        return _wall_clock() - self.fetched_at <= timedelta(
            seconds=settings.CLERK_KEYS_MAX_AGE_SECONDS
        )

    @property
    def are_complete(self) -> bool:
        """Whether Clerk answered when it was last asked for an unknown key."""
        if self.fetched_at is None or self.attempted_at is None:
            return self.fetched_at is not None
        return self.fetched_at >= self.attempted_at

    @property
    def somebody_asks(self) -> bool:
        """Whether an attempt has begun that may still be answered."""
        if self.are_complete or self.attempted_at is None:
            return False
        if self.failed_at is not None and self.failed_at >= self.attempted_at:
            return False
        return _wall_clock() - self.attempted_at < LONGEST_ATTEMPT

    @property
    def were_asked_for_lately(self) -> bool:
        """Whether it is too early to ask Clerk for an unknown key again."""
        if self.attempted_at is None:
            return False
        return _wall_clock() - self.attempted_at <= self.ask_again_after

    @property
    def ask_again_after(self) -> timedelta:
        """How long after an attempt the next one is allowed."""
        has_keys = self.are_usable or settings.CLERK_JWT_KEYS
        return ASK_AGAIN_AFTER if has_keys else ASK_AGAIN_WITHOUT_KEYS_AFTER

    @property
    def say_clerk_is_away(self) -> bool:
        """Whether the last attempt to fetch them failed, and not long ago."""
        if self.failed_at is None:
            return False
        if self.fetched_at is not None and self.fetched_at >= self.failed_at:
            return False
        missed = timedelta(seconds=3 * settings.CLERK_KEYS_REFRESH_SECONDS)
        return _wall_clock() - self.failed_at <= missed

    def find(self, key_id: str) -> RSAPublicKey | None:
        """The key of this id, if it may still be used."""
        return self.by_id.get(key_id) if self.are_usable else None


class _KeysOfThisProcess:
    """The stored keys, parsed once per version and read again every few seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        self._keys, self._reread_at = StoredKeys(), 0.0

    def get(self) -> StoredKeys:
        if self._is_recent():
            return self._keys
        with self._lock:
            # Whoever held the lock has read them for all who waited.
            return self._keys if self._is_recent() else self._read()

    def read_again(self) -> StoredKeys:
        with self._lock:
            return self._read()

    def _is_recent(self) -> bool:
        return time.monotonic() < self._reread_at

    def _read(self) -> StoredKeys:
        self._keys = _read_stored_keys(known=self._keys)
        self._reread_at = time.monotonic() + REREAD_SECONDS
        return self._keys


_keys = _KeysOfThisProcess()
_one_thread_asks = threading.Lock()
_seats = threading.BoundedSemaphore(SEATS)


def find_signing_key(token: str) -> RSAPublicKey:
    """The key that the token has to be signed with.

    Not inside a transaction: Clerk may be asked for it.

    Raises:
        TokenInvalid: not a token, or Clerk has no such key.
        AuthUnavailable: Clerk has to be asked and does not answer, or enough threads
            wait for its answer.
    """
    key_id = read_key_id(token)
    key = _keys.get().find(key_id) or _find_given_key(token)
    if key is not None:
        return key
    if not settings.CLERK_JWKS_URL:
        raise TokenInvalid("unknown key")
    stored = _learn_key(key_id)
    key = stored.find(key_id)
    if key is not None:
        return key
    if stored.are_usable and stored.are_complete:
        raise TokenInvalid("unknown key")
    raise AuthUnavailable


def clerk_is_away() -> bool:
    """Whether Clerk's keys cannot be refreshed, as far as this process knows.

    Not if nobody has tried for long: what is not known to be away counts as there.
    """
    return _keys.get().say_clerk_is_away


def _find_given_key(token: str) -> RSAPublicKey | None:
    keys = read_given_keys(tuple(settings.CLERK_JWT_KEYS))
    return next((key for key in keys if is_signed_by(token, key)), None)


@lru_cache(maxsize=8)
def read_given_keys(texts: tuple[str, ...]) -> list[RSAPublicKey]:
    """The keys of CLERK_JWT_KEYS; `slotbase.lib.checks` saw that they can be read."""
    return [read_public_key(text) for text in texts]


def refresh_signing_keys() -> None:
    """Fetch Clerk's keys and store them. Not inside a transaction: it waits for Clerk.

    Raises:
        ProviderError: Clerk did not answer with keys; the stored ones stay.
    """
    asked_at = _wall_clock()
    try:
        jwks = client.fetch_signing_keys()
    except ProviderError:
        _store(failed_at=_wall_clock())
        raise
    _store(jwks=jwks, fetched_at=asked_at)


def _store(**values: Any) -> None:
    SigningKeySet.objects.update_or_create(
        pk=ROW,
        defaults=values,
        create_defaults={"jwks": {"keys": []}, **values},
    )
    forget_cached_keys()


def forget_cached_keys() -> None:
    """Make this process read the stored keys anew."""
    _keys.forget()


def _learn_key(key_id: str) -> StoredKeys:
    """What can be known of this key without keeping the threads of all others."""
    stored = _keys.get()
    if stored.were_asked_for_lately and not stored.somebody_asks:
        return stored
    if not _seats.acquire(blocking=False):
        raise AuthUnavailable
    try:
        return _ask_or_wait(key_id)
    finally:
        _seats.release()


def _ask_or_wait(key_id: str) -> StoredKeys:
    with _one_thread_asks:
        stored = _keys.read_again()
        if stored.find(key_id):
            return stored
        if not _win_right_to_ask(stored):
            return _wait_for_whoever_asks(key_id)
        _try_to_refresh()
        stored = _keys.read_again()
        if stored.find(key_id):
            # A rotation is no flood: only fruitless attempts count against the limit.
            SigningKeySet.objects.filter(pk=ROW).update(attempted_at=None)
            forget_cached_keys()
        return stored


def _wait_for_whoever_asks(key_id: str) -> StoredKeys:
    """Another process may be asking at this moment: its answer is ours, too."""
    stored = _keys.read_again()
    while not stored.find(key_id) and stored.somebody_asks:
        time.sleep(LOOK_AGAIN_SECONDS)
        stored = _keys.read_again()
    return stored


def _win_right_to_ask(stored: StoredKeys) -> bool:
    if stored.were_asked_for_lately:
        return False
    now = _wall_clock()
    due_before = now - stored.ask_again_after
    SigningKeySet.objects.get_or_create(pk=ROW, defaults={"jwks": {"keys": []}})
    is_due = Q(attempted_at=None) | Q(attempted_at__lt=due_before)
    won = SigningKeySet.objects.filter(is_due, pk=ROW).update(attempted_at=now)
    return won == 1


def _try_to_refresh() -> None:
    try:
        refresh_signing_keys()
    except ProviderError as error:
        log.warning("signing_keys_not_refreshed", error=str(error))


def age_of_keys() -> timedelta | None:
    """How long ago Clerk's keys came.

    None: nobody has asked for them yet, as before the first customer. `timedelta.max`:
    Clerk was asked and never gave any.
    """
    stored = _read_stored_keys(known=StoredKeys())
    if stored.fetched_at is not None:
        return _wall_clock() - stored.fetched_at
    return None if stored.failed_at is None else timedelta.max


def _read_stored_keys(*, known: StoredKeys) -> StoredKeys:
    row = SigningKeySet.objects.filter(pk=ROW).first()
    if row is None:
        return StoredKeys()
    is_known = known.fetched_at is not None and known.fetched_at == row.fetched_at
    by_id = known.by_id if is_known else _parse(row.jwks)
    return StoredKeys(by_id, row.fetched_at, row.attempted_at, row.failed_at)


def _parse(jwks: dict[str, Any]) -> dict[str, RSAPublicKey]:
    return {key["kid"]: jwt.PyJWK(key, algorithm="RS256").key for key in jwks["keys"]}


def _wall_clock() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)
