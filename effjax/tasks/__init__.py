"""What is learnt, each task in a module of its own. One more is one module and one line here."""

from effjax.errors import check_known
from effjax.specs import Spec
from effjax.steps.predictions import Items
from effjax.tasks.answering import ANSWERING, STORED_ANSWERING
from effjax.tasks.answers import AnswerFormat
from effjax.tasks.base import Task
from effjax.tasks.classification import CLASSIFICATION
from effjax.tasks.detection import DETECTION

__all__ = ["TASKS", "AnswerFormat", "Items", "Spec", "Task", "find_task"]

#: By the name in ``config.task``.
TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFICATION, ANSWERING, STORED_ANSWERING, DETECTION)}


def find_task(name: str) -> Task:
    """Returns the task of that name.

    Raises:
      UserError: if there is none.
    """
    check_known(name, TASKS, f"config.task={name!r}")
    return TASKS[name]
