"""CSV for spreadsheets: no text is a formula there, and numbers stay numbers."""

import csv
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

Cell = str | int | Decimal
# A spreadsheet takes what begins so for a formula, or for the end of the cell.
_BEGIN_FORMULAS = frozenset("=+-@\t\r\n|%")


class _Line:
    """What `csv` writes to: it hands back each line."""

    def write(self, line: str) -> str:
        return line


def write_lines(rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """The lines of a file, one by one; it begins with a mark that says UTF-8."""
    writer = csv.writer(_Line(), quoting=csv.QUOTE_NONNUMERIC)
    yield "\ufeff"
    for row in rows:
        line: str = writer.writerow([*map(make_harmless, row)])
        yield line


def make_harmless(cell: Cell) -> Cell:
    """A text that might be a formula is begun with an apostrophe; a number is not."""
    if not isinstance(cell, str):
        return cell
    # Wide forms count as well, and what is not seen does not hide anything.
    shown = "".join(c for c in cell if unicodedata.category(c) != "Cf")
    seen = unicodedata.normalize("NFKC", shown)
    first = {seen[:1], seen.strip(" \xa0")[:1]} - {""}
    return f"'{cell}" if first & _BEGIN_FORMULAS else cell
