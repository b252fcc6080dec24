"""Staff with an app that shows codes, and browsers in which they sign in."""

import re
from typing import Any

import pyotp
from django.test import Client

from slotbase.accounts.models import SecondFactor, User
from slotbase.accounts.services import second_factors
from tests.factories import make_staff

LOGIN, CODE, APP = "/admin/login/", "/admin/login/code/", "/admin/login/app/"


class Phone:
    """Somebody's app: the codes of a secret, as often as a test wants them."""

    def __init__(self, secret: str, user: User | None = None) -> None:
        self.secret, self.user = secret, user

    def code(self) -> str:
        """The code of now; the app is in step however many codes were used."""
        if self.user:
            SecondFactor.objects.filter(user=self.user).update(last_step=0)
        return pyotp.TOTP(self.secret).now()

    def wrong_code(self) -> str:
        """Six digits that no step near this one has."""
        return str((int(self.code()) + 500_000) % 1_000_000).zfill(6)


def enrol(user: User) -> tuple[Phone, list[str]]:
    """Give somebody a second factor: their phone and their recovery codes."""
    sealed = second_factors.begin_enrolment()
    phone = Phone(second_factors.reveal(sealed), user)
    codes = second_factors.enrol(
        user_id=user.pk, sealed_secret=sealed, code=phone.code()
    )
    user.refresh_from_db()  # sessions that began before have ended
    return phone, codes


def make_staff_with_phone(*args: Any, **over: Any) -> tuple[User, Phone, list[str]]:
    """A member of staff who can sign in."""
    user = make_staff(*args, **over)
    return (user, *enrol(user))


def show_password(client: Client, user: User, password: str = "secret", **more: Any):
    """The first step."""
    typed = {"username": user.username, "password": password}
    address = f"{LOGIN}?next={more.pop('next')}" if "next" in more else LOGIN
    return client.post(address, typed, **more)


def secret_on(page: Any) -> str:
    """What the page of a new app says."""
    found = re.search(r'class="secret">([A-Z2-7 ]+)<', page.content.decode())
    assert found is not None
    return found.group(1).replace(" ", "")


def codes_on(page: Any) -> list[str]:
    """The recovery codes that a page shows."""
    return re.findall(r"<li><code>([\w-]+)</code>", page.content.decode())
