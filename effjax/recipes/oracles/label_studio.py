"""Label Studio: tasks out, annotations in, as JSON files."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from effjax.data.ledger import SKIPPED
from effjax.errors import UserError
from effjax.recipes.oracles.base import NO_LABEL, Answer, Query, parse_label, raise_all
from effjax.recipes.oracles.folder import FolderOracle

TASKS_FILE, CONFIG_FILE, ANNOTATIONS_FILE = "tasks.json", "label_config.xml", "annotations.json"


class LabelStudioOracle(FolderOracle):
    """Writes images, ``tasks.json`` and ``label_config.xml``; reads the project's JSON export, ``annotations.json``.

    Args:
      folder: that holds the rounds' folders. Label Studio serves the images from its parent as local files
        (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT).
      class_names: in the order of the labels.

    References:
      `Label Studio's task and export format <https://labelstud.io/guide/task_format>`_.
    """

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Writes the folder, and the two files that Label Studio imports."""
        super().ask(round_, queries)
        folder = self.round_folder(round_)
        root = self.folder.parent
        tasks = [
            {
                "data": {
                    "image": f"/data/local-files/?d={(folder / 'images' / f'{query.id}.png').relative_to(root)}",
                    "effjax_id": query.id,
                    "effjax_round": round_,
                },
                "meta": {} if query.score is None else {"score": query.score},
            }
            for query in queries
        ]
        _write(folder / TASKS_FILE, json.dumps(tasks, indent=1))
        choices = "".join(f"\n    <Choice value={quoteattr(name)}/>" for name in (*self.class_names, *NO_LABEL))
        _write(
            folder / CONFIG_FILE,
            f'<View>\n  <Image name="image" value="$image"/>\n  <Choices name="label" toName="image">{choices}\n'
            "  </Choices>\n</View>\n",
        )

    def answers(self, round_: int, ids: Sequence[int]) -> list[Answer] | None:
        """Reads the export; a task that was skipped there is skipped here.

        Raises:
          UserError: listing unknown classes, missing, unknown and doubled ids, other rounds, and annotators who differ.
        """
        path = self.round_folder(round_) / ANNOTATIONS_FILE
        if not path.exists():
            return None
        try:
            tasks = json.loads(path.read_text())
            assert isinstance(tasks, list)
        except (ValueError, AssertionError) as error:
            raise UserError(f"{path} is not Label Studio's JSON export (a list of tasks)") from error
        answers, problems, named = [], [], set()
        for number, task in enumerate(tasks, start=1):
            try:
                id_ = self._id_of(task, round_, ids, named)
                named.add(id_)
                answers.append((id_, *self._answer(task, id_)))
            except ValueError as error:
                problems.append(f"task {number}: {error}")
        problems += [f"id {id_} is missing" for id_ in ids if id_ not in named]
        raise_all(path, problems)
        return answers

    def how_to_go_on(self, round_: int) -> str:
        folder = self.round_folder(round_)
        return (
            f"import {folder / TASKS_FILE} into a Label Studio project with the set-up {folder / CONFIG_FILE}, label, "
            f"and export as JSON to {folder / ANNOTATIONS_FILE}"
        )

    def _id_of(self, task: Mapping[str, Any], round_: int, ids: Sequence[int], named: set[int]) -> int:
        data = task.get("data", {}) if isinstance(task, dict) else {}
        id_, of = data.get("effjax_id"), data.get("effjax_round")
        if not isinstance(id_, int):
            raise ValueError("data.effjax_id is missing")
        if of != round_:
            raise ValueError(f"id {id_} is of round {of!r}, this is round {round_}")
        if id_ not in ids:
            raise ValueError(f"id {id_} was not asked in round {round_}")
        if id_ in named:
            raise ValueError(f"id {id_} comes twice")
        return id_

    def _answer(self, task: Mapping[str, Any], id_: int) -> tuple[str, int | None]:
        found = set()
        annotations = task.get("annotations") or []
        for annotation in annotations:
            if annotation.get("was_cancelled"):
                found.add((SKIPPED, None))
                continue
            for result in annotation.get("result", []):
                for choice in result.get("value", {}).get("choices", []):
                    try:
                        found.add(parse_label(choice, self.class_names))
                    except ValueError as error:
                        raise ValueError(f"id {id_}: {error}") from error
        if not found:
            raise ValueError(f"id {id_} has no annotation yet")
        if len(found) > 1:
            raise ValueError(f"id {id_}: its annotations differ")
        return found.pop()


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.partial")
    temporary.write_text(text)
    os.replace(temporary, path)
