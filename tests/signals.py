"""Parts of the product that are stopped for a while."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.product import Product, eventually


@contextmanager
def paused(product: Product, part: str) -> Iterator[None]:
    """Every process of a part is stopped inside the block, and goes on after it."""
    product.signal(part, signal.SIGSTOP)
    try:
        yield
    finally:
        product.signal(part, signal.SIGCONT)


def are_stopped_between_transactions(product: Product) -> bool:
    """Stop the workers; not so that one keeps rows locked, which is another fault."""
    product.signal("WORKER_PIDS", signal.SIGSTOP)
    # What began before the stop, whether it waits for its client, a lock or the disk.
    # Two statements, as the first looks at nothing before it has slept; by a superuser,
    # as nobody else sees what sessions of another role do.
    stuck = product.superuser(
        "SELECT pg_sleep(1)",
        "SELECT pid FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        " AND xact_start < clock_timestamp() - interval '500 ms'",
    )
    if stuck:
        product.signal("WORKER_PIDS", signal.SIGCONT)
    return not stuck


@contextmanager
def workers_paused_between_transactions(product: Product) -> Iterator[None]:
    """No worker does anything inside the block, and none keeps rows locked."""
    eventually(lambda: are_stopped_between_transactions(product), seconds=30)
    try:
        yield
    finally:
        product.signal("WORKER_PIDS", signal.SIGCONT)
