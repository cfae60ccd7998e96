"""Label Studio: tasks out, annotations in, as the files that it imports and exports."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from effjax.data.ledger import SKIPPED, Answer
from effjax.errors import UserError
from effjax.files import storage, write_text
from effjax.recipes.active.answers import parse_answer, whole_number, words_for_no_label
from effjax.recipes.active.oracles.base import Query, raise_all
from effjax.recipes.active.oracles.folder import FolderOracle, image_file
from effjax.recipes.active.oracles.tables import read_table
from effjax.tasks import AnswerFormat

TASKS_FILE, CONFIG_FILE = "tasks.json", "label_config.xml"
#: What may be exported: JSON, JSON-MIN; CSV; TSV.
ANNOTATIONS_FILES = ("annotations.json", "annotations.csv", "annotations.tsv")
ANNOTATIONS_FILE = ANNOTATIONS_FILES[0]


class Annotation(NamedTuple):
    """What one person has said of one task.

    Attributes:
      where: in the file, for messages.
      data: of the task: ``effjax_id``, ``effjax_round``, ``effjax_loop``.
      choices: what was chosen, if anything.
      skipped: whether the task was skipped.
      who: the annotator.
      seconds: how long it took.
      updated: when, as text that sorts.
    """

    where: str
    data: Mapping[str, Any]
    choices: Sequence[str]
    skipped: bool
    who: str
    seconds: float | None
    updated: str


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
        if not answers.choices:
            raise UserError("config.active.oracle='label_studio': there people choose from classes; else take 'folder'")

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
            }
            for query in queries
        ]
        names = (*self.format.choices, *words_for_no_label(self.format))
        choices = "".join(f"\n    <Choice value={quoteattr(name)}/>" for name in names)
        config = (
            '<View>\n  <Header value="$path"/>\n  <Image name="image" value="$image"/>\n'
            f'  <Choices name="label" toName="image">{choices}\n  </Choices>\n</View>\n'
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
                if said.choices or said.skipped:  # such as an image that a storage was synchronised for
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
            for choice in one.choices:
                event, answer = parse_answer(choice, self.format)
                answers.setdefault(json.dumps([event, answer]), Answer(id_, event, answer, one.who, one.seconds))
                texts.append(f"{one.who or 'somebody'} says {choice!r}")
        if len(answers) > 1:
            raise ValueError(f"{', '.join(dict.fromkeys(texts))}: let them agree, and export again")
        skipped = [Answer(id_, SKIPPED, None, one.who, one.seconds) for one in said if one.skipped]
        return [*answers.values(), *skipped][:1]


def read_export(path: Path) -> Iterator[Annotation]:
    """What an export of Label Studio says: JSON, JSON-MIN, CSV or TSV.

    Raises:
      UserError: if it is none.
    """
    if path.suffix != ".json":
        for line, row in read_table(path, ("effjax_id", "effjax_round", "annotator")):
            yield _of_row(f"line {line}", row)
        return
    try:
        with storage(path):
            tasks = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not Label Studio's JSON export: {error}") from error
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{path} is not Label Studio's JSON export (a list of tasks)")
    for number, task in enumerate(tasks, start=1):
        where = f"task {number}"
        if "data" not in task:  # JSON-MIN: data and annotation in one
            yield _of_row(where, task)
            continue
        data = task["data"] if isinstance(task["data"], dict) else {}
        annotations = [one for one in _list(task.get("annotations")) if isinstance(one, dict)]
        for one in annotations or [{}]:  # a task without any is still looked at
            skipped = bool(one.get("was_cancelled"))  # what had been chosen before does not count then
            yield Annotation(
                *(where, data, [] if skipped else _choices(one.get("result")), skipped),
                *(_name(one.get("completed_by")), _seconds(one.get("lead_time")), str(one.get("updated_at") or "")),
            )


def _of_row(where: str, row: Mapping[str, Any]) -> Annotation:
    label = row.get("label")
    choices = _list(label.get("choices") if isinstance(label, dict) else label)
    who, seconds = _name(row.get("annotator")), _seconds(row.get("lead_time"))
    return Annotation(
        where, row, [str(choice) for choice in choices], False, who, seconds, str(row.get("updated_at") or "")
    )


def _choices(result: Any) -> list[str]:
    values = [part["value"] for part in _list(result) if isinstance(part, dict) and isinstance(part.get("value"), dict)]
    return [str(choice) for value in values for choice in _list(value.get("choices"))]


def _list(value: Any) -> list[Any]:
    """Where exports have a list of several, they may have the one itself, or nothing."""
    return value if isinstance(value, list) else [] if value in (None, "") else [value]


def _name(annotator: Any) -> str:
    """Exports name people by a number, or by all that is known of them."""
    if isinstance(annotator, dict):
        return str(annotator.get("email") or f"annotator {annotator.get('id')}")
    return f"annotator {annotator}" if annotator not in (None, "") else ""


def _seconds(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and found >= 0 else None
