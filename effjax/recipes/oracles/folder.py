"""A folder for people: the images, a page that shows them, and a table to fill in."""

import csv
import getpass
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from effjax.recipes.oracles.base import NO_LABEL, Answer, Query, parse_label, raise_all
from effjax.reports.contact_sheet import contact_sheet

LABELS_FILE, SHEET_FILE = "labels.csv", "sheet.png"
_COLUMNS = ("round", "id", "image", "label", "note")
_A_ROW = 8  # of the page


class FolderOracle:
    """Writes ``round_03/images/17.png``, ``sheet.png`` and ``labels.csv``, whose column ``label`` is to be filled in.

    Args:
      folder: that holds the rounds' folders.
      class_names: in the order of the labels.
    """

    def __init__(self, folder: str | Path, class_names: Sequence[str]):
        self.folder, self.class_names = Path(folder), tuple(class_names)
        self.who = getpass.getuser()

    def round_folder(self, round_: int) -> Path:
        return self.folder / f"round_{round_:02d}"

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Writes the folder, whole or not at all; one that is there is somebody's work and stays as it is.

        A table that has been thrown away is written anew, empty.
        """
        final = self.round_folder(round_)
        if final.exists():
            if not (final / LABELS_FILE).exists():
                self._write_table(final / f"{LABELS_FILE}.partial", round_, queries)
                os.replace(final / f"{LABELS_FILE}.partial", final / LABELS_FILE)
            return
        partial = final.with_name(f"{final.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "images").mkdir(parents=True)
        for query in queries:
            _as_image(query.image).save(partial / "images" / f"{query.id}.png")
        self._write_table(partial / LABELS_FILE, round_, queries)
        rows = [queries[start : start + _A_ROW] for start in range(0, len(queries), _A_ROW)]
        page = {" ".join(str(q.id) for q in row): [q.image for q in row] for row in rows}
        contact_sheet(page, cell=96).save(partial / SHEET_FILE)
        os.replace(partial, final)

    def answers(self, round_: int, ids: Sequence[int]) -> list[Answer] | None:
        """Reads the filled table.

        Raises:
          UserError: listing unknown classes, missing, unknown and doubled ids, and rows of another round; or if the
            table is not text in UTF-8.
        """
        path = self.round_folder(round_) / LABELS_FILE
        rows = _read_table(path)
        if missing := [column for column in ("round", "id", "label") if rows and column not in rows[0]]:
            raise_all(path, [f"the column {column!r} is missing" for column in missing])
        if rows and not any((row["label"] or "").strip() for row in rows):
            return None
        answers, problems, seen = [], [], set()
        for line, row in enumerate(rows, start=2):
            try:
                id_, answer = self._read_row(row, round_, ids, seen)
                seen.add(id_)
                answers.append((id_, *answer))
            except ValueError as error:
                problems.append(f"line {line}: {error}")
        rejected = {row["id"].strip() for row in rows if row["id"]}
        problems += [f"id {id_} is missing" for id_ in ids if id_ not in seen and str(id_) not in rejected]
        raise_all(path, problems)
        return answers

    def how_to_go_on(self, round_: int) -> str:
        folder = self.round_folder(round_)
        return (
            f"write a class ({', '.join(self.class_names)}), or {' or '.join(NO_LABEL)}, into the column label of "
            f"{folder / LABELS_FILE} for each image of {folder / SHEET_FILE}"
        )

    def _read_row(self, row: dict[str, str], round_: int, ids: Sequence[int], seen: set[int]):
        id_ = int(row["id"]) if (row["id"] or "").strip().isdigit() else None
        if id_ is None:
            raise ValueError(f"id {row['id']!r} is no number")
        if (row["round"] or "").strip() != str(round_):
            raise ValueError(f"id {id_} is of round {row['round']!r}, this is round {round_}")
        if id_ not in ids:
            raise ValueError(f"id {id_} was not asked in round {round_}")
        if id_ in seen:
            raise ValueError(f"id {id_} comes twice")
        label = (row["label"] or "").strip()
        if not label:
            raise ValueError(f"id {id_} has no label yet")
        try:
            return id_, parse_label(label, self.class_names)
        except ValueError as error:
            raise ValueError(f"id {id_}: {error}") from error

    def _write_table(self, path: Path, round_: int, queries: Sequence[Query]) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            for query in queries:
                score = "" if query.score is None else f"score {query.score:.4g}"
                writer.writerow((round_, query.id, f"images/{query.id}.png", "", score))


def _read_table(path: Path) -> list[dict[str, str]]:
    """The rows, as spreadsheets save them: with a mark before the first byte, with semicolons in much of Europe."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise_all(path, ["it is not text in UTF-8: save it as CSV (UTF-8)"])
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def _as_image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
