"""Tables that people fill in, as spreadsheets save them."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from effjax.recipes.active.oracles.base import raise_all

_DELIMITERS = (",", ";", "\t")


def read_table(path: Path, needed: tuple[str, ...], errors: str = "strict") -> list[tuple[int, Mapping[str, str]]]:
    """The rows of a table in which anything is written, each with the number of its first line in the file.

    There may be a mark before the first byte; commas, semicolons or tabs; capitals in the heads of the columns; rows
    that are empty or of bare commas; cells of any length and of several lines.

    Args:
      path: the file.
      needed: columns that it must have, in small letters, as all are returned.
      errors: what to do with bytes that are not UTF-8, as for ``bytes.decode``.

    Raises:
      UserError: if it is no such table.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig", errors)
    except UnicodeDecodeError:
        raise_all(path, ["it is not text in UTF-8: save it as CSV (UTF-8)"])
    head = text.splitlines()[0] if text else ""
    delimiter = max(_DELIMITERS, key=lambda d: len({*needed} & {*_columns(head.split(d))}))
    before = csv.field_size_limit(max(len(text), 2**17))
    try:
        rows = list(_rows(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
    finally:
        csv.field_size_limit(before)
    if not rows:
        return []
    columns = _columns(rows[0][1])
    raise_all(path, [f"the column {column!r} is missing" for column in needed if column not in columns])
    raise_all(path, [f"the column {column!r} is there twice" for column in needed if columns.count(column) > 1])
    return [
        (line, {column: cells[at] if at < len(cells) else "" for at, column in enumerate(columns)})
        for line, cells in rows[1:]
    ]


def _rows(reader) -> Iterator[tuple[int, list[str]]]:
    first = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield first, cells
        first = reader.line_num + 1


def _columns(cells: list[str]) -> list[str]:
    return [cell.strip().strip('"').strip().lower() for cell in cells]
