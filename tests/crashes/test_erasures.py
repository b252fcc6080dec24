"""`kill -9` in the midst of an erasure: nothing by halves, and it is done at last."""

from datetime import timedelta

import pytest

from recovery import audit
from recovery.models import AuditEntry
from slotbase.accounts.models import Erasure, User
from slotbase.accounts.services.erasing import erase_people, request_erasure
from slotbase.lib.clock import Now
from tests.crashes.test_kill_points import SETTLED, WITH_A_LEASE, kill
from tests.crashes.worker import Workers
from tests.factories import make_customer
from tests.notifications.conftest import make_device

pytestmark = pytest.mark.django_db(transaction=True)

ERASE = "slotbase.accounts.tasks.erase_people"


@pytest.fixture
def leaving() -> User:
    """Somebody with something in each of several parts, who asked to be erased."""
    alice = make_customer(email="alice@example.com", phone="+49 30 1234567")
    make_device(alice)
    request_erasure(user_id=alice.pk, actor=audit.Actor.customer(alice.pk))
    return alice


def is_whole(person: User) -> bool:
    """Whether all of it is there, or (False) nothing; a half fails."""
    person.refresh_from_db()
    parts = {
        bool(person.email),
        bool(person.phone),
        bool(person.clerk_id),
        person.erased_at is None,
        person.push_devices.exclude(sealed_token="").exists(),
    }
    assert len(parts) == 1, "it is erased by halves"
    return parts.pop()


@pytest.mark.parametrize("point", [*WITH_A_LEASE, "erasing"])
def test_whoever_dies_before_the_end_has_erased_nothing(
    workers: Workers, leaving: User, point: str
) -> None:
    """S32: killed anywhere and run again, the result is the same."""
    kill(workers, f"erasures.{point}", 1, ERASE)
    assert is_whole(leaving)

    erase_people()

    assert not is_whole(leaving)
    assert AuditEntry.objects.filter(action="person.erased").count() == 1


def test_whoever_dies_after_the_end_leaves_nothing_to_do(
    workers: Workers, leaving: User
) -> None:
    kill(workers, f"erasures.{SETTLED}", 1, ERASE)

    assert not is_whole(leaving)
    assert erase_people() == 0
    assert AuditEntry.objects.filter(action="person.erased").count() == 1


def test_it_is_tried_on_though_workers_died_over_a_failure(
    workers: Workers, leaving: User
) -> None:
    """Three deaths are a failure of the row: it has a case, and its turn in an hour."""
    kill(workers, "erasures.erasing", 3, ERASE)
    kill(workers, "erasures.failed", 1, ERASE)

    erase_people()

    assert is_whole(leaving)
    assert Erasure.objects.get().last_error == "Its worker died three times."
    Erasure.objects.update(next_run_at=Now() - timedelta(seconds=1))
    erase_people()
    assert not is_whole(leaving)
