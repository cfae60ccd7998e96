"""Who says what an image shows: the dataset itself, people with a folder, people with Label Studio."""

from pathlib import Path

from effjax.recipes.active.oracles.base import Oracle, Proposed, Query
from effjax.recipes.active.oracles.coco import CocoOracle
from effjax.recipes.active.oracles.dataset import CorrectingOracle, DatasetOracle
from effjax.recipes.active.oracles.folder import FolderOracle
from effjax.recipes.active.oracles.label_studio import LabelStudioOracle
from effjax.recipes.active.oracles.label_studio_boxes import LabelStudioBoxOracle
from effjax.tasks import AnswerFormat
from effjax.tasks.box_answers import BoxAnswers

__all__ = [
    "CocoOracle",
    "CorrectingOracle",
    "DatasetOracle",
    "FolderOracle",
    "LabelStudioBoxOracle",
    "LabelStudioOracle",
    "Oracle",
    "Proposed",
    "Query",
    "people",
]


def people(kind: str, folder: Path, answers: AnswerFormat) -> Oracle:
    """People who answer.

    Args:
      kind: ``folder`` or ``label_studio``.
      folder: that holds the rounds' folders.
      answers: what they answer with.

    Raises:
      UserError: if they cannot answer so there.
    """
    if isinstance(answers, BoxAnswers):
        return (CocoOracle if kind == "folder" else LabelStudioBoxOracle)(folder, answers)
    return (FolderOracle if kind == "folder" else LabelStudioOracle)(folder, answers)
