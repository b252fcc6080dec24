"""Parts of the product that are stopped for a while."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.product import Product


@contextmanager
def paused(product: Product, part: str) -> Iterator[None]:
    """Every process of a part is stopped inside the block, and goes on after it."""
    product.signal(part, signal.SIGSTOP)
    try:
        yield
    finally:
        product.signal(part, signal.SIGCONT)
