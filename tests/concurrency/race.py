"""Doing things at the same instant: threads that wait for each other, then go."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection


def at_once(actions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run every action in its own thread at one moment; results or errors, in order."""
    barrier = threading.Barrier(len(actions))
    outcomes: list[Any] = [None] * len(actions)

    def run(index: int) -> None:
        try:
            connection.ensure_connection()
            barrier.wait()
            outcomes[index] = actions[index]()
        except Exception as error:  # noqa: BLE001 - whatever happens is an outcome
            outcomes[index] = error
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=(index,)) for index in range(len(actions))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def errors_in(outcomes: list[Any]) -> list[Exception]:
    """The errors among the outcomes."""
    return [each for each in outcomes if isinstance(each, Exception)]
