"""Networks from their config."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from effjax import models
from effjax.curricula import stages
from effjax.data.base import DatasetInfo
from effjax.errors import UserError
from effjax.models.normalised import Across
from effjax.recipes.schema.keys import take
from effjax.steps import Network, Objective, Term
from effjax.steps.settings import apply_settings, find_setting
from effjax.tasks import CLASSIFICATION, Task


def make_model(
    config: Mapping[str, Any], num_classes: int, across: Across = None, task: Task = CLASSIFICATION
) -> nn.Module:
    """Makes the model that ``config.model`` describes, with the head that a task needs."""
    take(dict(config), "name", "model")
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k != "name"}
    if across is not None and "axis_name" in models.options(config["name"]):
        options["axis_name"] = across
    if task.head is not None:
        options["head"] = task.head()
    return models.create(config["name"], num_classes, **options)


def check_words(key: str, model: nn.Module, info: DatasetInfo) -> None:
    """Refuses a model that knows fewer words than a dataset's questions have: it would read others for them.

    Args:
      key: of the model in the config.
      model: as :func:`make_model` makes it.
      info: of the dataset.

    Raises:
      UserError: saying how many there are.
    """
    known, there = getattr(model, "words", None), len(info.names.get("question", ()))
    if known is not None and known < there:
        raise UserError(
            f"{key}.words={known}: the questions of {info.name} have {there:,} words; allowed: {there:,} or more"
        )


def network_in(model: nn.Module, stage: Mapping[str, Any]) -> Network:
    """A run's network as it is in a stage, on images that are not made smaller.

    Args:
      model: as :func:`make_model` makes it.
      stage: the values of its settings, by name.

    Returns:
      The network, with fewer channels and with what its parameters go through where the stage says so.

    Raises:
      UserError: if one of them is no setting.
    """
    evaluated = {name: [(0, value)] for name, value in stage.items() if find_setting(name).evaluated}
    if not evaluated:
        return Network(model)
    objective = Objective(model, {"": Term(lambda _: jnp.zeros(()))})
    return apply_settings(objective, stages(1, evaluated)[0].settings).network
