"""The demo's data: made once, and its staff can sign in."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from slotbase.accounts.models import SecondFactor, User
from slotbase.accounts.services import second_factors
from slotbase.devstack.codes import current_code
from slotbase.devstack.management.commands.seed_demo import Command

pytestmark = pytest.mark.django_db


def seed() -> str:
    said = StringIO()
    call_command(Command(), "--json", stdout=said)
    return said.getvalue()


def test_run_again_it_changes_nothing() -> None:
    before = seed()
    factors = list(SecondFactor.objects.order_by("pk").values())

    assert seed() == before
    assert list(SecondFactor.objects.order_by("pk").values()) == factors


def test_its_staff_show_the_code_that_is_printed() -> None:
    logins = [each["username"] for each in json.loads(seed())["staff"]]
    assert len(logins) == 6

    for login in logins:
        user = User.objects.get(username=login)
        assert second_factors.verify(user_id=user.pk, code=current_code())


def test_staff_of_a_demo_without_factors_get_theirs() -> None:
    seed()
    SecondFactor.objects.all().delete()

    seed()

    assert SecondFactor.objects.count() == 6
