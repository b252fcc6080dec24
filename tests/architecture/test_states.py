"""Every state column has its legal moves, its constraint and its picture."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db.models import CharField, CheckConstraint, Field, Model, Q

from bookings.states import HOLD_MOVES, HoldStatus
from slotbase.lib.management.commands.draw_states import draw
from tests.architecture.source import PACKAGES

Moves = Mapping[str, frozenset[str]]


def state_columns() -> Iterator[tuple[type[Model], Field]]:
    """Columns of our own tables that hold a state."""
    for model in apps.get_models():
        if model.__module__.split(".")[0] in PACKAGES and not model._meta.proxy:
            for field in model._meta.fields:
                if field.name in {"status", "state"} and field.choices:
                    yield model, field


def moves_beside(model: type[Model]) -> list[Moves]:
    """All tables of moves in the app of this model."""
    room = f"{apps.get_app_config(model._meta.app_label).name}.states"
    names = vars(import_module(room)) if find_spec(room) else {}
    return [table for name, table in names.items() if name.endswith("_MOVES")]


def faults_of(
    field: Field, constraints: Iterable[Any], tables: Iterable[Moves]
) -> list[str]:
    """What a state column lacks."""
    states = {value for value, _ in field.flatchoices}
    moves = next((each for each in tables if set(each) == states), None)
    if moves is None:
        return ["no MOVES that cover its states"]
    faults = []
    if not all(ends <= states for ends in moves.values()):
        faults.append("a move to a state that is not one")
    if field.default != next(iter(moves)):
        faults.append("begins otherwise than its MOVES")
    if not any(allows_only(each, field.name, states) for each in constraints):
        faults.append("no CheckConstraint for its states")
    return faults


def allows_only(constraint: Any, column: str, states: set[str]) -> bool:
    """Whether every row that the constraint lets in has one of these states."""
    if not isinstance(constraint, CheckConstraint):
        return False
    return any(
        name == f"{column}__in" and set(values) == states
        for name, values in all_of(constraint.condition)
    )


def all_of(condition: Q) -> Iterator[tuple[str, Any]]:
    """The comparisons of which each must be true."""
    if condition.negated or condition.connector != Q.AND:
        return
    for part in condition.children:
        if isinstance(part, Q):
            yield from all_of(part)
        elif isinstance(part, tuple):
            yield part


def test_every_state_column_has_its_moves_and_its_constraint() -> None:
    columns = list(state_columns())

    assert {model.__name__ for model, _ in columns} >= {"Booking", "BookingHold"}
    faulty = {
        model.__name__: faults
        for model, field in columns
        if (faults := faults_of(field, model._meta.constraints, moves_beside(model)))
    }
    assert faulty == {}


def column(default: str = HoldStatus.ACTIVE) -> Field:
    field: Field = CharField(max_length=10, choices=HoldStatus, default=default)
    field.set_attributes_from_name("status")
    return field


def constraint(condition: Q) -> CheckConstraint:
    return CheckConstraint(condition=condition, name="planted")


GUARD = Q(status__in=HoldStatus.values)
STRANGER = {**HOLD_MOVES, HoldStatus.ACTIVE: frozenset({"LOST"})}
SHORT = {HoldStatus.ACTIVE: frozenset[str]()}


def test_a_column_with_moves_and_constraint_has_no_fault() -> None:
    assert faults_of(column(), [constraint(GUARD & Q(pk__gt=0))], [HOLD_MOVES]) == []


@pytest.mark.parametrize(
    ("field", "condition", "moves", "fault"),
    [
        (column(), GUARD, SHORT, "no MOVES"),
        (column(), GUARD, STRANGER, "not one"),
        (column(HoldStatus.EXPIRED), GUARD, HOLD_MOVES, "begins"),
        (column(), Q(status__in=["ACTIVE"]), HOLD_MOVES, "no CheckConstraint"),
        (column(), GUARD | Q(pk__gt=0), HOLD_MOVES, "no CheckConstraint"),
        (column(), ~GUARD, HOLD_MOVES, "no CheckConstraint"),
    ],
)
def test_a_column_that_lacks_something_would_be_seen(
    field: Field, condition: Q, moves: Moves, fault: str
) -> None:
    faults = faults_of(field, [constraint(condition)], [moves])

    assert len(faults) == 1
    assert fault in faults[0]


def test_the_pictures_show_the_moves_that_the_code_has() -> None:
    call_command("draw_states", check=True)


def test_an_outdated_picture_would_be_seen(tmp_path: Path, settings: Any) -> None:
    settings.BASE_DIR = tmp_path
    page = tmp_path / "docs" / "reference" / "states.md"
    page.parent.mkdir(parents=True)

    call_command("draw_states")
    call_command("draw_states", check=True)
    page.write_text(page.read_text().replace("ACTIVE --> EXPIRED", ""))

    with pytest.raises(CommandError):
        call_command("draw_states", check=True)


def test_a_picture_begins_with_the_first_state_and_ends_with_the_last() -> None:
    picture = draw("Lamp", {"OFF": frozenset({"ON"}), "ON": frozenset()})

    assert picture == (
        "## Lamp\n\n```mermaid\nstateDiagram-v2\n"
        "    [*] --> OFF\n    OFF --> ON\n    ON --> [*]\n```\n"
    )
