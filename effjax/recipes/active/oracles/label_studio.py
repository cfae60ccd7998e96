"""Label Studio: tasks out, annotations in, as the files that it imports and exports."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from effjax.data.ledger import SKIPPED, Answer
from effjax.errors import UserError
from effjax.files import write_text
from effjax.recipes.active.answers import parse_answer, whole_number, words_for_no_label
from effjax.recipes.active.oracles.base import Query, raise_all
from effjax.recipes.active.oracles.folder import FolderOracle, image_file
from effjax.recipes.active.oracles.label_studio_export import ANSWER, Annotation, read_export
from effjax.tasks import AnswerFormat

TASKS_FILE, CONFIG_FILE = "tasks.json", "label_config.xml"
#: What may be exported: JSON, JSON-MIN; CSV; TSV.
ANNOTATIONS_FILES = ("annotations.json", "annotations.csv", "annotations.tsv")
ANNOTATIONS_FILE = ANNOTATIONS_FILES[0]


class LabelStudioOracle(FolderOracle):
    """Writes pictures, ``tasks.json`` and ``label_config.xml``; reads the project's export.

    The export is ``annotations.json`` or ``annotations.csv``.

    One project may hold the tasks of all rounds. Its export may lie in any round's folder: of each task the newest
    answer counts, and another than before is a correction.

    Args:
      folder: that holds the rounds' folders. Label Studio serves it as a local storage; its parent is the root
        (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT), for a storage must lie below that.
      answers: what people choose from, and what it means.

    Raises:
      UserError: if people do not choose from anything.

    References:
      `Label Studio's task and export format <https://labelstud.io/guide/task_format>`_.
    """

    def __init__(self, folder: str | Path, answers: AnswerFormat):
        super().__init__(folder, answers)
        self._check()

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Writes the folder, and the two files that Label Studio imports, if they are not there."""
        super().ask(round_, queries)
        folder = self.round_folder(round_)
        below = folder.relative_to(self.folder.parent)
        tasks = [
            {
                "data": {
                    "image": f"/data/local-files/?d={quote(str(below / image_file(query)))}",
                    "path": query.path or f"number {query.id}",
                    "effjax_id": query.id,
                    "effjax_round": round_,
                    "effjax_loop": self._loop,
                },
                "meta": {} if query.score is None else {"score": query.score},
                **self._proposals(folder, query),
            }
            for query in queries
        ]
        config = (
            f'<View>\n  <Header value="$path"/>\n  <Image name="image" value="$image"/>\n{self._controls()}</View>\n'
        )
        for name, text in ((TASKS_FILE, json.dumps(tasks, indent=1)), (CONFIG_FILE, config)):
            if not (folder / name).exists():
                write_text(folder / name, text)

    def answers(self, round_: int, asked: Sequence[int], waiting: Collection[int]) -> list[Answer]:
        """Reads the exports; what was skipped there is skipped here, what has no annotation stays open.

        Raises:
          UserError: listing unknown classes, unknown ids and annotators who differ; or if a file is no export.
        """
        newest: dict[int, tuple[str, int, Path, list[Annotation]]] = {}
        for number, path in enumerate(self._exports()):
            for id_, said in self._by_id(path, round_, asked).items():
                found = max(one.updated for one in said), number, path, said
                newest[id_] = max(newest.get(id_, found), found, key=lambda one: one[:2])
        answers, problems = [], {}
        for id_, (_, _, path, said) in newest.items():
            try:
                answers += self._answer(id_, said)
            except ValueError as error:
                problems.setdefault(path, []).append(f"{said[0].where}: id {id_}: {error}")
        for path, found in problems.items():
            raise_all(path, found)
        return answers

    def _check(self) -> None:
        """Refuses what people cannot answer there."""
        if not self.format.choices:
            raise UserError("config.active.oracle='label_studio': there people choose from classes; else take 'folder'")

    def _controls(self) -> str:
        """What people answer with, in Label Studio's XML."""
        return choices_xml(ANSWER, (*self.format.choices, *words_for_no_label(self.format)))

    def _proposals(self, folder: Path, query: Query) -> dict[str, Any]:
        """What a task shows of what a network says, as keys of the task."""
        return {}

    def how_to_go_on(self, round_: int) -> str:
        folder = self.round_folder(round_).absolute()
        return (
            f"import {folder / TASKS_FILE} into a Label Studio project with the set-up {folder / CONFIG_FILE} and the "
            f"local storage {self.folder.absolute()}, served from {self.folder.parent.absolute()}; label, and export "
            f"as JSON to {folder / ANNOTATIONS_FILE} (CSV and JSON-MIN leave out what was skipped)"
        )

    @property
    def _loop(self) -> str:
        return "/".join(self.folder.absolute().parts[-3:-1])

    def _exports(self) -> list[Path]:
        """The files that people have put there, those of later rounds last."""
        folders = sorted(self.folder.glob("round_*"))
        return [path for folder in folders for name in ANNOTATIONS_FILES if (path := folder / name).exists()]

    def _by_id(self, path: Path, round_: int, asked: Sequence[int]) -> dict[int, list[Annotation]]:
        """What an export says of a round's tasks."""
        found: dict[int, list[Annotation]] = {}
        problems, known = [], set(asked)
        for said in read_export(path):
            id_, of = (whole_number(str(said.data.get(key, ""))) for key in ("effjax_id", "effjax_round"))
            loop = said.data.get("effjax_loop") or self._loop
            if id_ is None or of is None:
                if said.choices or said.regions or said.skipped:  # such as an image that a storage was synchronised for
                    problems.append(f"{said.where} is none of the loop's tasks: it has no effjax_id or effjax_round")
            elif loop != self._loop:
                problems.append(f"{said.where}: id {id_} is of the loop {loop}, this is {self._loop}")
            elif of == round_ and id_ not in known:
                problems.append(f"{said.where}: id {id_} was not asked in round {round_}")
            elif of == round_:
                found.setdefault(id_, []).append(said)
        raise_all(path, problems)
        return found

    def _answer(self, id_: int, said: Sequence[Annotation]) -> list[Answer]:
        """The one answer of all who have said something; none where nobody has. Whoever skips it has no opinion."""
        answers: dict[str, Answer] = {}
        texts: list[str] = []
        for one in said:
            for text, answer in self._said(id_, one):
                answers.setdefault(json.dumps([answer.event, answer.answer]), answer)
                texts.append(f"{one.who or 'somebody'} says {text}")
        if len(answers) > 1:
            raise ValueError(f"{', '.join(dict.fromkeys(texts))}: let them agree, and export again")
        skipped = [Answer(id_, SKIPPED, None, one.who, one.seconds) for one in said if one.skipped]
        return [*answers.values(), *skipped][:1]

    def _said(self, id_: int, one: Annotation) -> list[tuple[str, Answer]]:
        """The answers in one annotation, each with what was said in words.

        Raises:
          ValueError: if it says what cannot be.
        """
        return [
            (repr(choice), Answer(id_, *parse_answer(choice, self.format), one.who, one.seconds))
            for choice in one.choices
        ]


def choices_xml(name: str, names: Sequence[str]) -> str:
    """A control of Label Studio's, to choose one of some names."""
    choices = "".join(f"\n    <Choice value={quoteattr(one)}/>" for one in names)
    return f'  <Choices name="{name}" toName="image">{choices}\n  </Choices>\n'
