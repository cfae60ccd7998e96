"""What a task measures predictions by, of a whole source."""

import numpy as np

from effjax.data.base import Source
from effjax.tasks import Task


def measured_by(task: Task, source: Source) -> dict[str, np.ndarray]:
    """The targets of all examples, and what else the task looks at where the data have it, ``[N, …]`` by feature.

    Where numbers stand for names, it is the names.
    """
    found = {name: source.column(name) for name in task.targets}
    for name in task.noted:
        if name in source.info.features:
            names = source.info.names.get(name)
            column = source.column(name)
            found[name] = column if names is None else np.asarray(names)[column]
    return found
