"""Words for transactions: one outermost transaction, and what must run inside it."""

import functools
import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog
from django.db import (
    Error,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from slotbase.lib import tally
from slotbase.lib.errors import Unavailable

P = ParamSpec("P")
R = TypeVar("R")

MAX_ATTEMPTS = 3
SERIALIZATION_FAILURE, DEADLOCK_DETECTED = "40001", "40P01"
LOCK_NOT_AVAILABLE = "55P03"
READ_ONLY = "25006"  # after a failover, or because somebody said so

log = structlog.get_logger(__name__)
_jitter = random.SystemRandom()


class NotInTransaction(RuntimeError):
    """A part of a transaction was called without one: call it from an entry point."""


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE that PostgreSQL gave for a Django database error, if it gave one."""
    return getattr(error.__cause__, "sqlstate", None)


def retry_on_conflict(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function as one outermost transaction, again if PostgreSQL says so.

    A deadlock (40P01) or serialization failure (40001) rolls everything back and runs
    it again, at most three times in all, after `2^attempt * 100 ms` plus up to 100 ms;
    the body must therefore be pure database work.

    Raises:
        Unavailable: the attempts are used up.
        OperationalError: any other failure of the database, such as a lock that was
            waited for too long; the API answers it with 503, too.
        RuntimeError: called inside a transaction, where nothing could be run again.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(MAX_ATTEMPTS):
            try:
                with transaction.atomic(durable=True):
                    return function(*args, **kwargs)
            except OperationalError as error:
                _wait_or_give_up(error, attempt, function.__qualname__)
        raise AssertionError("the last attempt returns or raises")

    return run


def _wait_or_give_up(error: OperationalError, attempt: int, name: str) -> None:
    state = sqlstate(error)
    if state not in {SERIALIZATION_FAILURE, DEADLOCK_DETECTED}:
        raise error
    tally.count("transaction_conflict")
    log.warning("transaction_conflict", sqlstate=state, attempt=attempt, name=name)
    if attempt + 1 == MAX_ATTEMPTS:
        raise Unavailable("The database is busy.") from error
    time.sleep(2**attempt * 0.1 + _jitter.uniform(0, 0.1))


def transaction_required(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse to run outside a transaction.

    Raises:
        NotInTransaction: no transaction is open.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if not connection.in_atomic_block:
            raise NotInTransaction(f"{function.__qualname__} needs a transaction")
        return function(*args, **kwargs)

    return run


def is_unavailable(error: BaseException | None) -> bool:
    """Whether the database could not do it now and may do it soon.

    Such as a lock or statement that took too long, a full disk, no connection left:
    OperationalErrors. So is a connection that broke before it was used (to Django an
    InterfaceError), and a database that only reads for now (to Django a bug of ours).
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return isinstance(error, Error) and sqlstate(error) == READ_ONLY
