"""The reference pages list what the code has: nothing is missing, nothing is gone."""

import ast
import re

import pytest

from recovery import cases, invariants, severities
from tests.architecture.source import ROOT, Source, dotted, planted, read_sources

DOCS = ROOT / "docs" / "reference"
OF_THE_DEVSTACK = "## Of `make run` and the tests"


def variables(source: Source) -> dict[str, str | None]:
    """Name and default of every `env.int("NAME", default=1)`; None: it is computed."""
    found = {}
    for call in source.nodes(ast.Call):
        assert isinstance(call, ast.Call)
        if dotted(call.func).startswith(("env.", "seconds")) and call.args:
            (name,) = call.args
            assert isinstance(name, ast.Constant), "a name that nobody can look up"
            defaults = [each.value for each in call.keywords if each.arg == "default"]
            found[str(name.value)] = say(defaults[0]) if defaults else None
    return found


def say(default: ast.expr) -> str | None:
    """A default as it stands in the environment; None if it depends on others."""
    if any(isinstance(node, ast.Name) for node in ast.walk(default)):
        return None
    value = eval(ast.unparse(default))  # noqa: S307 - our own settings file
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def rows(page: str) -> dict[str, str]:
    """The first cell of each row of a page's tables, and the second without quotes."""
    cells = re.findall(r"^\| `([^`]+)` \| ([^|]*) ?\|", page, re.MULTILINE)
    return {first: second.strip().strip("`") for first, second in cells}


def names_in_env_file(text: str) -> set[str]:
    return set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


def variables_of_compose() -> set[str]:
    text = (ROOT / "docker-compose.yml").read_text()
    return set(re.findall(r"\$\{([A-Z_]+)", text))


@pytest.fixture
def settings_page() -> str:
    return (DOCS / "settings.md").read_text()


@pytest.fixture
def in_code() -> dict[str, str | None]:
    return variables(read_sources("slotbase/settings.py")[0])


def test_every_setting_is_explained_with_its_default(
    settings_page: str, in_code: dict[str, str | None]
) -> None:
    explained = rows(settings_page.split(OF_THE_DEVSTACK, maxsplit=1)[0])

    assert set(explained) == set(in_code)
    known = {name: default for name, default in in_code.items() if default is not None}
    assert {name: explained[name] for name in known} == known


def test_every_variable_of_make_run_is_read_there(settings_page: str) -> None:
    explained = rows(settings_page.split(OF_THE_DEVSTACK)[1])
    texts = {t for s in read_sources("slotbase/devstack") for _, t in s.strings()}

    assert explained
    assert set(explained) - texts == set()


def test_the_example_file_has_every_setting(in_code: dict[str, str | None]) -> None:
    listed = names_in_env_file((ROOT / ".env.example").read_text())

    assert listed == set(in_code) | variables_of_compose()


def test_a_setting_that_is_not_listed_would_be_seen() -> None:
    source = planted(
        'A = env.int("A", default=256 * 1024)\nB = env.bool("B", default=not A)\n'
        'C = {"c": env.list("C", default=[])}\n'
    )

    assert variables(source) == {"A": "262144", "B": None, "C": ""}


def test_a_listed_setting_is_read_from_page_and_file() -> None:
    assert rows("| `A` | `1` | x |\n| `B` | | y |\n") == {"A": "1", "B": ""}
    assert names_in_env_file("AA=\n# BB=1\n# see CC=1\n") == {"AA", "BB"}


def test_every_invariant_is_explained() -> None:
    explained = rows((DOCS / "invariants.md").read_text())
    in_registry = {each.id: each.says for each in invariants.registered()}

    assert explained == in_registry


def runbooks() -> dict[str, str]:
    """Text of each page, by the kind of case that its heading names."""
    pages = [*(ROOT / "docs" / "runbooks").glob("*.md")]
    texts = [page.read_text() for page in pages if page.name != "README.md"]
    return {text.split(":")[0].removeprefix("# "): text for text in texts}


def test_every_kind_of_case_has_its_runbook() -> None:
    kinds = {name for name in cases.registered() if not name.startswith("test")}

    assert set(runbooks()) == kinds
    listed = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    explained = (DOCS.parent / "explanation" / "how-slotbase-recovers.md").read_text()
    for kind in kinds:
        assert f"[{kind}](" in listed
        assert f"| `{kind}` |" in explained


def test_every_runbook_says_what_happened_and_when_to_worry() -> None:
    for kind, text in runbooks().items():
        for part in ("**What happened.**", "**When to worry.**"):
            assert part in text, kind
        assert text.count("\n") < 40, kind


def test_every_condition_for_an_alert_stands_in_the_table_of_alerts() -> None:
    page = (DOCS / "alerts.md").read_text()
    row = re.compile(r"^\| `(\w+)` \| (?:critical|high|medium|low) \|", re.MULTILINE)
    listed = set(row.findall(page))

    assert listed == set(severities.CONDITIONS)
    for each in severities.CONDITIONS.values():
        facts = (each.severity, each.audience, each.opened_when, each.by_itself)
        assert f"| `{each.name}` | {' | '.join(facts)} |" in page


def test_every_alert_has_its_runbook() -> None:
    folder = ROOT / "docs" / "runbooks"
    of_conditions = {
        path.read_text().split(":")[0].removeprefix("# "): path
        for path in (folder / "alerts").glob("*.md")
        if path.name != "README.md"
    }

    assert set(of_conditions) == set(severities.CONDITIONS)
    listed = (folder / "alerts" / "README.md").read_text()
    for name, path in of_conditions.items():
        text = path.read_text()
        assert f"[{name}]({path.name})" in listed
        assert path.stem == name.replace("_", "-")
        for part in ("**What happened.**", "**What to check**", "**When to worry.**"):
            assert part in text, name


def targets(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))


def test_every_target_of_make_is_explained() -> None:
    explained = rows((DOCS / "make.md").read_text())

    in_makefile = targets((ROOT / "Makefile").read_text()) - {"help"}
    assert set(explained) == {f"make {target}" for target in in_makefile}


def test_targets_are_found_in_a_makefile() -> None:
    assert targets("run: bootstrap ## start\nhidden:\n\t@true\n") == {"run"}
