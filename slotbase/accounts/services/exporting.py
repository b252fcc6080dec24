"""All that is kept of a person, as one JSON document that is written piece by piece."""

import json
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from recovery import audit, personal
from slotbase.accounts.errors import PersonNotFound
from slotbase.accounts.models import User
from slotbase.accounts.services.personal_data import Sections, parts, traces_of
from slotbase.lib.clock import read_clock
from slotbase.lib.db import retry_on_conflict


def export_person(*, user_id: UUID, actor: audit.Actor) -> Iterator[str]:
    """The document in pieces; that it was asked for is noted before the first one.

    It is never whole in memory. One that breaks off is no JSON, so nobody takes a part
    of it for everything.

    Raises:
        PersonNotFound: there is none, or they are erased.
    """
    user = User.objects.filter(pk=user_id, erased_at=None).first()
    if user is None:
        raise PersonNotFound
    _note(user_id, actor)
    return _write(user)


@retry_on_conflict
def _note(user_id: UUID, actor: audit.Actor) -> None:
    audit.record(actor=actor, action="person.exported", subject="user", ids=[user_id])


def _write(user: User) -> Iterator[str]:
    traces = traces_of(user)
    yield f'{{"exported_at": {_json(read_clock())}'
    for part in reversed(parts()):
        yield f", {_json(part.name)}: {{"
        yield from _write_sections(part.export(traces))
        yield "}"
    yield ', "recovery": {'
    yield from _write_sections(personal.export(traces))
    yield "}}"


def _write_sections(sections: Sections) -> Iterator[str]:
    for number, (name, rows) in enumerate(sections.items()):
        yield f"{', ' if number else ''}{_json(name)}: ["
        yield from _write_rows(rows)
        yield "]"


def _write_rows(rows: Iterable[Any]) -> Iterator[str]:
    for number, row in enumerate(_some_at_a_time(rows)):
        yield f"{', ' if number else ''}{_json(row)}"


def _some_at_a_time(rows: Iterable[Any]) -> Iterable[Any]:
    return rows.iterator(chunk_size=500) if isinstance(rows, QuerySet) else rows


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
