"""A folder for people: the pictures, a page that shows them, and a table to fill in."""

import csv
import io
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax.data.ledger import Answer
from effjax.errors import shown
from effjax.files import spreadsheet_safe, storage, write_text
from effjax.recipes.active.answers import parse_answer, whole_number, words_for_no_label
from effjax.recipes.active.folder import round_name
from effjax.recipes.active.oracles.base import Query, raise_all, user_name
from effjax.recipes.active.oracles.tables import read_table
from effjax.reports.contact_sheet import fitted, picture
from effjax.reports.numbered_sheet import numbered_sheet
from effjax.tasks import AnswerFormat

LABELS_FILE, SHEET_FILE = "labels.csv", "sheet.png"
_COLUMNS = ("round", "id", "image", "path", "question", "label", "note")
_WHERE_THERE = ("path", "question")
_CELL, _MANY = (192, 96), 240  # the side of a picture on the page, and of one of many


class FolderOracle:
    """Writes ``round_03/images/17.png``, ``sheet.png`` and ``labels.csv``, whose column ``label`` is to be filled in.

    Args:
      folder: that holds the rounds' folders.
      answers: what people are to write, and what it means.
    """

    may_correct, is_simulated = True, False

    def __init__(self, folder: str | Path, answers: AnswerFormat):
        self.folder, self.format = Path(folder), answers
        self.who = user_name()

    def round_folder(self, round_: int) -> Path:
        return self.folder / round_name(round_)

    def wants_proposals(self, round_: int) -> bool:
        return False

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Writes the folder, whole or not at all; one that is there is somebody's work and stays as it is.

        What has been thrown away is written anew, a table without answers.
        """
        final = self.round_folder(round_)
        if final.exists():
            if not (final / LABELS_FILE).exists():
                self._write_table(final / LABELS_FILE, round_, queries)
            self._write_more(final, round_, queries)
            return
        partial = final.with_name(f"{final.name}.partial")
        with storage(partial):
            shutil.rmtree(partial, ignore_errors=True)
            (partial / "images").mkdir(parents=True)
            small = []
            cell = _CELL[len(queries) > _MANY]
            for query in queries:
                pixels = query.picture()
                picture(pixels).save(partial / image_file(query), quality=92)  # of a PNG, the quality is always whole
                small.append(np.asarray(fitted(picture(pixels), cell).convert("RGB")))
            self._write_table(partial / LABELS_FILE, round_, queries)
            ids, paths = [query.id for query in queries], [query.question or query.path for query in queries]
            numbered_sheet(small, ids, paths, cell=cell).save(partial / SHEET_FILE)
            self._write_more(partial, round_, queries)
            os.replace(partial, final)

    def answers(self, round_: int, asked: Sequence[int], waiting: Collection[int]) -> list[Answer]:
        """Reads the table, as far as it is filled in; see :class:`Oracle`.

        Raises:
          UserError: listing unknown classes, missing, unknown and doubled ids, and rows of another round; or if the
            table is not text in UTF-8.
        """
        path = self.round_folder(round_) / LABELS_FILE
        if not path.exists():
            return []
        rows = read_table(path, ("round", "id", "label"))
        rows = [(line, {column: cell.strip() for column, cell in row.items()}) for line, row in rows]
        if not any(row["label"] for _, row in rows):
            return []
        answers, problems, seen = [], [], set()
        for line, row in rows:
            try:
                id_ = self._id_of(row, round_, asked, seen)
                seen.add(id_)
                if row["label"]:
                    answers.append(Answer(id_, *self._parse(row["label"], id_)))
            except ValueError as error:
                problems.append(f"line {line}: {error}")
        rejected = {whole_number(row["id"]) for _, row in rows}
        problems += [f"id {id_} is missing" for id_ in asked if id_ in waiting and id_ not in {*seen, *rejected}]
        raise_all(path, problems)
        return answers

    def how_to_go_on(self, round_: int) -> str:
        folder, words = self.round_folder(round_), " or ".join(words_for_no_label(self.format))
        return (
            f"write {self.format.hint}{words and ', or '}{words}, into the column label of "
            f"{folder / LABELS_FILE} for each image of {folder / SHEET_FILE}"
        )

    def _id_of(self, row: Mapping[str, str], round_: int, asked: Sequence[int], seen: Collection[int]) -> int:
        id_ = whole_number(row["id"])
        if id_ is None:
            raise ValueError(f"id {shown(row['id'])} is no number")
        if whole_number(row["round"]) != round_:
            raise ValueError(f"id {id_} is of round {shown(row['round'])}, this is round {round_}")
        if id_ not in asked:
            raise ValueError(f"id {id_} was not asked in round {round_}")
        if id_ in seen:
            raise ValueError(f"id {id_} comes twice")
        return id_

    def _parse(self, label: str, id_: int) -> tuple[str, Any]:
        try:
            return parse_answer(label, self.format)
        except ValueError as error:
            raise ValueError(f"id {id_}: {error}") from error

    def _write_more(self, folder: Path, round_: int, queries: Sequence[Query]) -> None:
        """Writes what else belongs to a round, where it is not there."""

    def _write_table(self, path: Path, round_: int, queries: Sequence[Query]) -> None:
        columns = [
            column
            for column in _COLUMNS
            if column not in _WHERE_THERE or any(getattr(query, column) for query in queries)
        ]
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, columns, extrasaction="ignore")
        writer.writeheader()
        for query in queries:
            score = "" if query.score is None else f"score {query.score:.4g}"
            said = {column: spreadsheet_safe(getattr(query, column)) for column in _WHERE_THERE}
            writer.writerow({"round": round_, "id": query.id, "image": image_file(query), **said, "note": score})
        write_text(path, table.getvalue())


def image_file(query: Query) -> str:
    """Where the picture of a query lies in its round's folder: of photos a JPEG, of a dataset's pixels none is lost."""
    return f"images/{query.id}.{'jpg' if query.path else 'png'}"
