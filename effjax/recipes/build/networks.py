"""Networks from their config."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from effjax import models
from effjax.recipes.schema.keys import take
from effjax.tasks import CLASSIFICATION, Task


def make_model(
    config: Mapping[str, Any], num_classes: int, axis_name: str | None = None, task: Task = CLASSIFICATION
) -> nn.Module:
    """Makes the model that ``config.model`` describes, with the head that a task needs."""
    take(dict(config), "name", "model")
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k != "name"}
    if axis_name is not None and "axis_name" in models.options(config["name"]):
        options["axis_name"] = axis_name
    if task.head is not None:
        options["head"] = task.head()
    return models.create(config["name"], num_classes, **options)
