"""A folder for people who draw boxes, with any tool that reads and writes COCO's JSON."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from effjax.data.ledger import LABELLED, Answer
from effjax.errors import noted, refuse
from effjax.files import write_text
from effjax.recipes.active.oracles.base import Query
from effjax.recipes.active.oracles.coco_files import coco_json, read_drawn, refuse_all
from effjax.recipes.active.oracles.drawn import pictures_in, size_of_picture
from effjax.recipes.active.oracles.folder import LABELS_FILE, FolderOracle
from effjax.tasks.box_answers import BoxAnswers

ANNOTATIONS_FILE, PROPOSALS_FILE = "annotations.json", "proposals.json"
#: In a table: the file of annotations says what this image shows, though nothing in it has been changed.
DONE = "done"
_MOVED = 1.0  # pixels: tools that write numbers anew round them
_NO_SIZE = (1000.0, 1000.0)  # of a picture that has been thrown away


class CocoOracle(FolderOracle):
    """Writes a folder as :class:`FolderOracle` does, and ``annotations.json``, which people draw their boxes in.

    In it are the images of the round and the boxes that the last network proposes. An image counts as answered where
    it has boxes in the file and they are not just the proposed ones, which lie in ``proposals.json`` to be compared
    with; or where the table says ``done``, of one whose boxes were right, or that shows nothing. So a file that nobody
    has touched says nothing, nor does an image that nobody has come to, even if the tool was never given what was
    proposed; and of ids and orders nothing need be kept. ``skip`` and ``unlabelable`` stand in the table.

    Args:
      folder: that holds the rounds' folders.
      answers: what people are to write, and what it means.

    References:
      `COCO's format for detection <https://cocodataset.org/#format-data>`_.
    """

    format: BoxAnswers

    def __init__(self, folder: str | Path, answers: BoxAnswers):
        super().__init__(folder, answers)

    def wants_proposals(self, round_: int) -> bool:
        return not (self.round_folder(round_) / PROPOSALS_FILE).exists()

    def answers(self, round_: int, asked: Sequence[int], waiting: Collection[int]) -> list[Answer]:
        """Reads the table and the file of annotations; see :class:`Oracle`.

        Raises:
          UserError: listing what is wrong in either, and what they say differently.
        """
        path = self.round_folder(round_) / ANNOTATIONS_FILE
        wrong: list[str] = []
        said: list[Answer] = []
        drawn: Mapping[int, list[dict[str, Any]]] | None = None
        with noted(wrong, ""):
            said = super().answers(round_, asked, waiting)
        if path.exists():
            with noted(wrong, ""):
                drawn = self._read(path, round_, asked)
        refuse(wrong)
        if drawn is None:
            return [answer for answer in said if answer.event != DONE]
        words, before, sizes = {one.id: one for one in said}, self._proposed(round_, asked), self._sizes(path.parent)
        answers, problems = [], []
        for id_ in asked:
            boxes, word = drawn.get(id_), words.get(id_)
            touched = bool(boxes) and not _alike(boxes, before.get(id_, []), sizes.get(id_, _NO_SIZE))
            if word is None and boxes is None and id_ in waiting:
                problems.append(f"image {id_} is missing: keep images in the file that show nothing")
            elif word is None and touched:
                answers.append(Answer(id_, LABELLED, boxes))
            elif word is not None and word.event == LABELLED and touched and word.answer != boxes:
                problems.append(f"image {id_}: {LABELS_FILE} says other boxes: take them out of one of the two")
            elif word is not None and word.event != DONE:
                answers.append(word)
            elif word is not None and (boxes is not None or id_ in waiting):  # tools may leave out what shows nothing
                answers.append(Answer(id_, LABELLED, boxes or []))
        refuse_all(path, problems)
        return answers

    def how_to_go_on(self, round_: int) -> str:
        folder, classes = self.round_folder(round_), ", ".join(self.format.classes)
        return (
            f"draw the boxes of each image in {folder / 'images'} ({classes}), with a tool that reads and writes "
            f"COCO's JSON, from {folder / ANNOTATIONS_FILE} and to the same name; where that was right already, or "
            f"nothing is there, write {DONE} into the column label of {folder / LABELS_FILE}, or skip or unlabelable"
        )

    def _parse(self, label: str, id_: int) -> tuple[str, Any]:
        return (DONE, None) if label.casefold() == DONE else super()._parse(label, id_)

    def _write_more(self, folder: Path, round_: int, queries: Sequence[Query]) -> None:
        proposals, annotations = folder / PROPOSALS_FILE, folder / ANNOTATIONS_FILE
        if not proposals.exists():
            names = {id_: picture.name for id_, picture in pictures_in(folder).items()}
            write_text(proposals, coco_json(queries, self._sizes(folder), names, self.format))
        if not annotations.exists():
            write_text(annotations, proposals.read_text())

    def _read(self, path: Path, round_: int, asked: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
        return read_drawn(path, self._sizes(path.parent), round_, asked, self.format)

    def _proposed(self, round_: int, asked: Sequence[int]) -> Mapping[int, list[dict[str, Any]]]:
        path = self.round_folder(round_) / PROPOSALS_FILE
        return self._read(path, round_, asked) if path.exists() else {}

    def _sizes(self, folder: Path) -> dict[int, tuple[int, int]]:
        return {id_: size_of_picture(picture) for id_, picture in pictures_in(folder).items()}


def _alike(boxes: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], size: tuple[float, float]) -> bool:
    """Whether two lists are of the same boxes in any order, to a pixel."""
    left = list(others)
    for one in boxes:
        same = (
            other
            for other in left
            if other["class"] == one["class"]
            and all(
                abs(a - b) * side < _MOVED for a, b, side in zip(one["box"], other["box"], (*size, *size), strict=True)
            )
        )
        if (found := next(same, None)) is None:
            return False
        left.remove(found)
    return not left
