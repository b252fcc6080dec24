"""A migration leaves the version before it at work: it adds, and takes nothing away.

While a new version is rolled out, the old one still reads and writes, and it does so
again after a rollback. What is no longer needed is taken away by a later release, which
says so here, when no running version knows it any more (ADR 0032).
"""

from collections.abc import Iterator

import pytest
from django.db import connection, models
from django.db.migrations import operations as kinds
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from tests.architecture.source import PACKAGES

# Why each of these is no harm. Such as: "two versions ago nobody read it any more".
CONTRACTIONS = {
    "payments.0005_inquiries": "before the first release: nobody has run an older one",
}
TAKES_AWAY = (
    kinds.RemoveField,
    kinds.RenameField,
    kinds.DeleteModel,
    kinds.RenameModel,
    kinds.AlterModelTable,
)
SQL_TAKES_AWAY = ("DROP COLUMN", "DROP TABLE", "RENAME ", "SET NOT NULL")


def our_migrations() -> Iterator[tuple[str, list[Operation], ProjectState, bool]]:
    """Name, operations, the state before, and whether it is one transaction."""
    loader, state = MigrationLoader(None), ProjectState()
    plan = {
        key: None
        for leaf in sorted(loader.graph.leaf_nodes())
        for key in loader.graph.forwards_plan(leaf)
    }
    for key in plan:
        migration = loader.graph.nodes[key]
        if migration.__module__.split(".")[0] in PACKAGES:
            yield (
                f"{key[0]}.{key[1]}",
                migration.operations,
                state.clone(),
                migration.atomic,
            )
        state = migration.mutate_state(state, preserve=False)


def faults_of(
    app: str, operations: list[Operation], state: ProjectState, *, is_atomic: bool
) -> Iterator[str]:
    """What the version before could not live with."""
    if not is_atomic:
        yield "is not one transaction, so that it could not be tried again"
    old = {name for label, name in state.models if label == app}
    for operation in operations:
        yield from _faults_of_operation(app, operation, state, old)
        operation.state_forwards(app, state)


def _faults_of_operation(
    app: str, operation: Operation, state: ProjectState, old: set[str]
) -> Iterator[str]:
    if isinstance(operation, TAKES_AWAY):
        yield f"takes away: {operation.describe()}"
    elif isinstance(operation, kinds.RunSQL):
        sql = str(operation.sql).upper()
        yield from (f"takes away: {words}" for words in SQL_TAKES_AWAY if words in sql)
    elif (
        isinstance(operation, kinds.AddField | kinds.AlterField)
        and operation.model_name_lower in old
    ):
        yield from _faults_of_column(app, operation, state)


def _faults_of_column(
    app: str, operation: kinds.AddField | kinds.AlterField, state: ProjectState
) -> Iterator[str]:
    new, what = operation.field, operation.describe()
    if isinstance(new, models.ManyToManyField):
        return
    columns = state.models[app, operation.model_name_lower].fields
    before = columns.get(operation.name)
    if _is_needed(new) and (before is None or not _is_needed(before)):
        yield f"the version before writes no value (db_default): {what}"
    if before is not None and _is_narrower(before, new):
        yield f"another type, or a narrower one: {what}"


def _is_needed(field: models.Field) -> bool:
    return not field.null and not field.has_db_default()


def _is_narrower(before: models.Field, new: models.Field) -> bool:
    if type(before) is not type(new):
        return True
    sizes = (before.max_length or 0, new.max_length or 0)
    return 0 < sizes[1] < sizes[0]


def test_every_migration_leaves_the_version_before_it_at_work() -> None:
    found = {
        name: [*faults_of(name.split(".", maxsplit=1)[0], did, state, is_atomic=one)]
        for name, did, state, one in our_migrations()
    }

    assert "bookings.0001_initial" in found
    faulty = {name: faults for name, faults in found.items() if faults}
    assert {n: faults for n, faults in faulty.items() if n not in CONTRACTIONS} == {}
    assert set(CONTRACTIONS) <= set(faulty), "an excuse that nobody needs"


def field(kind: type[models.Field] = models.CharField, **options: object) -> object:
    return kind(**({"max_length": 9} if kind is models.CharField else {}) | options)


@pytest.mark.parametrize(
    "operation",
    [
        kinds.RemoveField("thing", "name"),
        kinds.RenameField("thing", "name", "title"),
        kinds.RenameModel("Thing", "Object"),
        kinds.DeleteModel("Thing"),
        kinds.AddField("thing", "size", field(models.IntegerField, default=1)),
        kinds.AlterField("thing", "note", field(default="")),
        kinds.AlterField("thing", "name", field(max_length=8)),
        kinds.AlterField("thing", "name", field(models.TextField)),
        kinds.RunSQL("ALTER TABLE t DROP COLUMN name"),
    ],
    ids=lambda operation: operation.describe(),
)
def test_one_that_does_not_would_be_seen(operation: Operation) -> None:
    assert len([*faults_of("planted", [operation], a_state(), is_atomic=True)]) == 1


@pytest.mark.parametrize(
    "operation",
    [
        kinds.CreateModel("Other", [("name", field())]),
        kinds.AddField("thing", "size", field(models.IntegerField, db_default=1)),
        kinds.AddField("thing", "size", field(models.IntegerField, null=True)),
        kinds.AlterField("thing", "note", field(null=True, max_length=20)),
        kinds.AlterField("thing", "name", field(max_length=20)),
        kinds.RunSQL("CREATE TRIGGER t BEFORE UPDATE ON t EXECUTE FUNCTION f()"),
    ],
    ids=lambda operation: operation.describe(),
)
def test_what_is_only_added_is_no_fault(operation: Operation) -> None:
    assert [*faults_of("planted", [operation], a_state(), is_atomic=True)] == []


def test_one_that_is_not_one_transaction_would_be_seen() -> None:
    assert len([*faults_of("planted", [], a_state(), is_atomic=False)]) == 1


def a_state() -> ProjectState:
    state = ProjectState()
    columns = [("name", field()), ("note", field(null=True))]
    kinds.CreateModel("Thing", columns).state_forwards("planted", state)
    return state


@pytest.mark.django_db
def test_a_migration_of_the_tests_was_told_to_wait_briefly_and_only_it() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)
