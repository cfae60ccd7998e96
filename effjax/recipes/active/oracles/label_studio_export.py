"""What an export of Label Studio says: JSON, JSON-MIN, CSV or TSV."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from effjax.errors import UserError
from effjax.files import storage
from effjax.recipes.active.oracles.tables import read_table

#: The controls of a project: what is answered, and words in its place where that is no word itself.
ANSWER, WORD = "label", "word"


class Annotation(NamedTuple):
    """What one person has said of one task.

    Attributes:
      where: in the file, for messages.
      data: of the task: ``effjax_id``, ``effjax_round``, ``effjax_loop``.
      choices: what was chosen, if anything.
      regions: what was drawn, each with its ``value`` and what stands beside that, in one mapping.
      skipped: whether the task was skipped.
      submitted: whether it was not, and has been answered, be it with nothing.
      who: the annotator.
      seconds: how long it took.
      updated: when, as text that sorts.
    """

    where: str
    data: Mapping[str, Any]
    choices: Sequence[str]
    regions: Sequence[Mapping[str, Any]]
    skipped: bool
    submitted: bool
    who: str
    seconds: float | None
    updated: str


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
            result = [] if skipped else one.get("result")
            yield Annotation(
                *(where, data, _choices(result), _regions(result), skipped, bool(one) and not skipped),
                *(_name(one.get("completed_by")), _seconds(one.get("lead_time")), str(one.get("updated_at") or "")),
            )


def _of_row(where: str, row: Mapping[str, Any]) -> Annotation:
    said = [one for key in (ANSWER, WORD) for one in _cell(row.get(key))]
    who, seconds = _name(row.get("annotator")), _seconds(row.get("lead_time"))
    choices = [str(one) for one in said if not isinstance(one, dict)]
    regions = [one for one in said if isinstance(one, dict)]
    return Annotation(where, row, choices, regions, False, bool(who), who, seconds, str(row.get("updated_at") or ""))


def _cell(value: Any) -> list[Any]:
    """What stands in a place of a short export: a choice or several; what was drawn, in tables as JSON."""
    if isinstance(value, str) and value.startswith("[{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return [value]
    return _list(value.get("choices") if isinstance(value, dict) and "choices" in value else value)


def _regions(result: Any) -> list[Mapping[str, Any]]:
    parts = [part for part in _list(result) if isinstance(part, dict) and isinstance(part.get("value"), dict)]
    return [{**part, **part["value"]} for part in parts if "choices" not in part["value"]]


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
