"""Whom simulated Clerk knows: somebody for every id, unless told otherwise."""

import re
import zlib
from dataclasses import dataclass, replace
from typing import Any

from slotbase.sandbox.exchange import Request
from slotbase.sandbox.fields import ControlError, check_text, read_object

_SURNAMES = ("Adler", "Brandt", "Castro", "Dubois", "Evans", "Fischer", "Garcia")
# The customers of the demo are known by the names and addresses that it gives them.
_DEMO = {
    "user_demo_ada": ("Ada", "Adler", "ada@example.com", "+49 30 555 0101"),
    "user_demo_ben": ("Ben", "Brook", "ben@example.com", "+1 212 555 0102"),
    "user_demo_cleo": ("Cleo", "Costa", "cleo@example.com", "+49 30 555 0103"),
}
_SWITCHES = ("verified", "banned", "locked")
_FIELDS = (
    *("id", "first_name", "last_name", "email", "phone", "locale"),
    *_SWITCHES,
)


@dataclass(frozen=True)
class Person:
    """One user at Clerk."""

    id: str
    first_name: str
    last_name: str
    email: str = ""
    verified: bool = True
    phone: str = ""
    locale: str | None = None
    banned: bool = False
    locked: bool = False

    def as_clerk_shows_it(self) -> dict[str, Any]:
        """The user object of Clerk's API."""
        emails, phones = self._addresses(), self._phones()
        return {
            "id": self.id,
            "object": "user",
            "first_name": self.first_name or None,
            "last_name": self.last_name or None,
            "locale": self.locale,
            "primary_email_address_id": emails[0]["id"] if emails else None,
            "primary_phone_number_id": phones[0]["id"] if phones else None,
            "email_addresses": emails,
            "phone_numbers": phones,
            "banned": self.banned,
            "locked": self.locked,
        }

    def _addresses(self) -> list[dict[str, Any]]:
        if not self.email:
            return []
        mark = {"status": "verified" if self.verified else "unverified"}
        base = {"id": f"idn_email_{self.id}", "object": "email_address"}
        return [{**base, "email_address": self.email, "verification": mark}]

    def _phones(self) -> list[dict[str, Any]]:
        if not self.phone:
            return []
        base = {"id": f"idn_phone_{self.id}", "object": "phone_number"}
        mark = {"status": "verified"}
        return [{**base, "phone_number": self.phone, "verification": mark}]


class People:
    """Those who were described, those who are gone, and everybody else."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Only everybody else."""
        self._told: dict[str, Person | None] = {}

    def find(self, id_: str) -> Person | None:
        """The person of this id, or None if they are gone."""
        return self._told[id_] if id_ in self._told else _anybody(id_)

    def describe(self, request: Request) -> tuple[str, Person | None]:
        """Change somebody as the request says: their id, and None if they are gone now.

        Raises:
            ControlError: it does not say whom, or what.
        """
        data = read_object(request, allowed=(*_FIELDS, "gone"))
        id_ = check_text(data.pop("id", None), "id")
        if data.pop("gone", False) is True:
            self._told[id_] = None
            return id_, None
        _check(data)
        person = replace(self.find(id_) or _anybody(id_), **data)
        self._told[id_] = person
        return id_, person


def _check(data: dict[str, Any]) -> None:
    for name, value in data.items():
        if not isinstance(value, bool if name in _SWITCHES else str):
            raise ControlError(f"{name} is of the wrong type.")


def _anybody(id_: str) -> Person:
    if id_ in _DEMO:
        first, last, email, phone = _DEMO[id_]
        return Person(id_, first, last, email, phone=phone)
    stem = re.sub(r"[^a-z0-9]+", "-", id_.removeprefix("user_").lower()).strip("-")
    surname = _SURNAMES[zlib.crc32(id_.encode()) % len(_SURNAMES)]
    return Person(
        id=id_,
        first_name=(stem or "somebody").capitalize()[:40],
        last_name=surname,
        email=f"{(stem or 'somebody')[:60]}@example.com",
    )
