"""The crowd again, through the whole running product: 200 clients at one instant."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.product import Product

pytestmark = pytest.mark.stack


def answers_of_a_crowd(
    product: Product, wishes: Sequence[dict[str, Any]], subs: Sequence[str]
) -> Counter[tuple[int, str | None]]:
    """Everybody posts at one moment; status and code of the answers, counted."""
    tokens = product.tokens(sorted(set(subs)))
    address = f"{product.env['SLOTBASE_URL']}/api/v1/holds/"
    barrier, seen = threading.Barrier(len(wishes)), []

    def post(wish: dict[str, Any], sub: str) -> None:
        headers = {
            "Authorization": f"Bearer {tokens[sub]}",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        barrier.wait()
        answer = requests.post(address, json=wish, headers=headers, timeout=30)
        while answer.status_code == 503:  # a slow computer: as an app would, ask again
            time.sleep(int(answer.headers["Retry-After"]))
            answer = requests.post(address, json=wish, headers=headers, timeout=30)
        seen.append((answer.status_code, answer.json().get("code")))

    threads = [
        threading.Thread(target=post, args=pair)
        for pair in zip(wishes, subs, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(seen)


def strangers(count: int) -> list[str]:
    crowd = uuid.uuid4().hex[:8]
    return [f"user_{crowd}_{number}" for number in range(count)]


def test_of_200_clients_for_one_slot_one_gets_it(product: Product) -> None:
    wish = product.free_slot(product.resource("court-2"))

    answers = answers_of_a_crowd(product, [wish] * 200, strangers(200))

    assert answers == {(201, None): 1, (409, "slot_unavailable"): 199}


def test_of_200_clients_for_a_class_of_12_just_12_get_a_place(product: Product) -> None:
    wish = product.free_slot(product.resource("yoga"))

    answers = answers_of_a_crowd(product, [wish] * 200, strangers(200))

    assert answers == {(201, None): 12, (409, "slot_unavailable"): 188}


def test_of_12_parallel_holds_of_one_customer_3_are_made(product: Product) -> None:
    room = product.resource("room")
    wishes = [product.free_slot(room, days=day) for day in range(2, 26, 2)]

    answers = answers_of_a_crowd(product, wishes, strangers(1) * 12)

    assert answers == {(201, None): 3, (429, "hold_limit"): 9}


def test_of_200_parallel_requests_of_one_address_100_are_served(
    product: Product,
) -> None:
    """S6: by two web processes, which only Redis lets know of each other."""
    settings = {"NUM_PROXIES": "1", "THROTTLE_ADDRESS_PER_MINUTE": "100"}
    address, barrier = f"2001:db8:{uuid.uuid4().hex[:4]}::1", threading.Barrier(200)

    def get(site: str) -> int:
        barrier.wait()
        made_up = f"{uuid.uuid4().hex[:8]}, {address}"  # what a proxy makes of it
        headers = {"X-Forwarded-For": made_up}
        venues = f"{site}/api/v1/venues/"
        return requests.get(venues, headers=headers, timeout=30).status_code

    with (
        product.another_web(**settings) as one,
        product.another_web(**settings) as other,
        ThreadPoolExecutor(200) as clients,
    ):
        early_in_a_minute()
        answers = Counter(clients.map(get, [one.site, other.site] * 100))

    # Whoever asks while all threads are taken is told so at once, and counted or not.
    assert set(answers) <= {200, 429, 503}
    assert 95 <= answers[200] <= 105


def early_in_a_minute() -> None:
    """Limits are counted from one full minute to the next."""
    if (left := 60 - time.time() % 60) < 20:
        time.sleep(left)
