"""A new version is rolled out, and back, while customers work: they do not notice.

The database has the new schema. The old version, from before the newest migration,
works beside the new one, with it, and for it.
"""

from pathlib import Path

import pytest
from celery import Celery

from slotbase.schedule import QUEUES
from tests.crashes import previous_version
from tests.crashes.load import (
    Ledger,
    Load,
    make_holds_that_run_out,
    require_all_is_done,
    slowest,
    statuses,
)
from tests.crashes.previous_version import put_previous_version
from tests.product import Product, eventually
from tests.signals import workers_paused_between_transactions

pytestmark = pytest.mark.timeout(240)

FROM_TOMORROW = [
    ("bookings.expire_holds", "bookings", {"of_tomorrow": 1}),
    ("recovery.process_inbox", "inbox", {"of_tomorrow": "x"}),
    ("recovery.deliver_events", "default", {"subscriber": "of.tomorrow"}),
    ("bookings.task_of_tomorrow", "bookings", {"id": 1}),
]


def send_from_tomorrow(product: Product) -> None:
    """What a version after the new one would send, to whoever listens."""
    app = Celery(broker=product.env["REDIS_URL"], set_as_current=False)
    for task, queue, arguments in FROM_TOMORROW:
        app.send_task(task, kwargs=arguments, queue=queue, ignore_result=True)
    app.send_task("bookings.expire_holds", queue="of-tomorrow", ignore_result=True)
    app.close()


@pytest.mark.stack
def test_the_version_before_works_beside_the_new_one_and_for_it(
    product: Product, tmp_path: Path
) -> None:
    old = put_previous_version(tmp_path)
    with (
        product.another_web(folder=old) as web,
        product.another_worker("old", folder=old) as worker,
    ):
        make_holds_that_run_out(product, seconds=10)
        with Load(product, web.site) as load:
            ledger = Ledger(product, load)
            load.during(4)
            send_from_tomorrow(product)
            load.during(3)
            # Rolled back: what the new version began, the old one brings to its end.
            with workers_paused_between_transactions(product):
                load.during(5)
                eventually(lambda: "holds" not in ledger.owed(), seconds=30)
        assert set(statuses(load.answers)) <= {200, 201, 204}
        assert slowest(load.answers) < 10
        assert (worker.process.poll(), web.process.poll()) == (None, None)
        assert not worker.said("unexpected keyword")
        eventually(lambda: not ledger.owed(), seconds=60)

    require_all_is_done(product, ledger)
    assert "of-tomorrow" not in QUEUES


def test_the_version_before_is_whole(tmp_path: Path) -> None:
    old = put_previous_version(tmp_path)

    for name in ("manage.py", "slotbase/settings.py", "bookings/migrations"):
        assert (old / name).exists(), name


def test_without_history_the_version_before_is_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previous_version, "MIGRATIONS", ("no/such/file",))
    old = put_previous_version(tmp_path)

    here = previous_version.ROOT / "slotbase" / "settings.py"
    assert (old / "slotbase" / "settings.py").read_bytes() == here.read_bytes()
