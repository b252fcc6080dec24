"""The matrix: what each address answers to each role and method.

`matrix.txt` is the table. It is read by a test that asks for every answer, and
`docs/reference/permissions.md` is written from it. To write both anew after a change,
and then look at the difference:

    WRITE_MATRIX=1 python -m pytest tests/security/test_matrix.py
"""

from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("matrix.txt")
PAGE = ROOT / "docs/reference/permissions.md"

GROUPS = ("front_desk", "manager", "support", "support_lead", "operations", "auditor")
#: In the order of the columns; `elsewhere` is the same group at another venue.
ROLES = (
    *("anonymous", "owner", "stranger", "revoked"),
    *(name for group in GROUPS for name in (group, f"{group} elsewhere")),
    *("no group", "superuser"),
)
COLUMNS = (
    *("anon", "owner", "other", "revkd"),
    *("desk", "~", "mngr", "~", "supp", "~", "lead", "~", "oper", "~", "audit", "~"),
    *("none", "root"),
)
#: The last one is a POST with the header X-HTTP-Method-Override: DELETE.
METHODS = (
    *("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"),
    "POST*",
)
HEAD = """\
# What each address answers to each role and method. tests/security/matrix.py says how
# to write it anew; read the difference before you believe it.
#
# anon      nobody signed in         desk ... audit   the six groups, at the row's venue
# owner     the customer whose it is ~                the group before, at another venue
# other     another customer         none             staff without a group
# revkd     a session that was ended root             the break-glass superuser
#
# ok  done, or shown     login  sent to sign in    goes  sent elsewhere
# 4xx refused, as it says            away  there is no such row for them
# A body is empty, or the shortest that is taken: 400, 409 and 422 are answers to
# somebody who may. Of feedback the owner is the coach who wrote it.
"""
Cells = tuple[str, ...]
Table = dict[tuple[str, str], Cells]


def say(table: Table) -> str:
    """The table as text: methods that answer alike share a line."""
    lines = [HEAD, _line("", COLUMNS)]
    for route, keys in groupby(table, key=lambda key: key[0]):
        lines.append(f"\n{route}")
        by_cells: dict[Cells, list[str]] = {}
        for key in keys:
            by_cells.setdefault(table[key], []).append(key[1])
        lines += [_line(" ".join(m), cells) for cells, m in by_cells.items()]
    return "\n".join(lines) + "\n"


def _line(words: str, cells: Cells) -> str:
    return f"  {words:<46}" + "".join(f"{each:<6}" for each in cells).rstrip()


def read() -> Table:
    """The table that is checked in."""
    table: Table = {}
    route = ""
    for line in TABLE.read_text().splitlines():
        if not line or line.startswith("#") or line.split() == [*COLUMNS]:
            continue
        if not line.startswith("  "):
            route = line
            continue
        words = line.split()
        methods = words[: -len(ROLES)]
        for method in methods:
            table[route, method] = tuple(words[-len(ROLES) :])
    return table


# --- The page -----------------------------------------------------------------------

#: Answers to somebody who may, other than `ok`: what they sent is not right.
REACHED = {"ok", "goes", "400", "402", "409", "410", "415", "422"}
PAGE_HEAD = """\
# Who may do what

Written from the table that a test asks every address of the product with: each role,
each method (`tests/security/matrix.txt`; `tests/security/matrix.py` says how both are
written anew). What is not listed is refused: with 404 in the API where it is somebody
else's, with the sign-in page or 403 in the back office, with 405 where there is no such
method. "Own venues" means that rows of other venues are not there for them. Which
buttons a page has is decided by the permissions of the group as well:
[roles](../explanation/roles.md) says it in words.
"""
SECTIONS = (
    ("API, for customers", "api/v1/"),
    ("Back office", "admin/"),
    ("The rest", ""),
)


def say_page(table: Table) -> str:
    """The page for people: who gets in where."""
    parts, left = [PAGE_HEAD], dict(table)
    for title, prefix in SECTIONS:
        rows = {key: cells for key, cells in left.items() if key[0].startswith(prefix)}
        left = {key: cells for key, cells in left.items() if key not in rows}
        parts.append(f"## {title}\n\n| address | methods | who |\n|---|---|---|")
        parts.append("\n".join(_rows_of(rows)) + "\n")
    parts.append("## Only a superuser\n\n" + _alone(table) + "\n")
    return "\n".join(parts)


def _rows_of(table: Table) -> list[str]:
    rows = []
    for route, keys in groupby(table, key=lambda key: key[0]):
        by_who: dict[str, list[str]] = {}
        for key in keys:
            if (who := _who(table[key])) and key[1] != "POST*":
                by_who.setdefault(who, []).append(key[1])
        shown = route.replace("|", "\\|")
        rows += [
            f"| `/{shown}` | {', '.join(m)} | {who} |" for who, m in by_who.items()
        ]
    return rows


def _who(cells: Cells) -> str:
    may = {role: cell in REACHED for role, cell in zip(ROLES, cells, strict=True)}
    if may["anonymous"]:
        return "anybody"
    people = []
    if may["owner"]:
        people.append(
            "every customer" if may["stranger"] else "the customer whose it is"
        )
    for group in GROUPS:
        if may[group]:
            is_everywhere = may[f"{group} elsewhere"]
            people.append(group if is_everywhere else f"{group} (own venues)")
    if may["no group"]:
        return "all staff"
    return ", ".join(people) or ("superuser" if may["superuser"] else "")


def only_superusers(table: Table) -> list[tuple[str, str]]:
    """What nobody else can do."""
    return [
        key
        for key, cells in table.items()
        if _who(cells) == "superuser" and key[1] in {"GET", "POST"}
    ]


def _alone(table: Table) -> str:
    lines = [f"* {method} `/{route}`" for route, method in only_superusers(table)]
    return "\n".join(lines) or "Nothing."
