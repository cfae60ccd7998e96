"""Frozen teachers: a network that runs beside the student, or its answers, looked up."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from effjax.data.base import DatasetInfo
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.recipes.networks import make_model
from effjax.runtime import checkpoints as stored
from effjax.steps.objective import Batch

Tree = Any


@dataclasses.dataclass(frozen=True)
class NetworkTeacher:
    """Runs on the very same view as the student: same crop, same flip.

    References:
      Beyer et al., `Knowledge distillation: A good teacher is patient and consistent
      <https://arxiv.org/abs/2106.05237>`_, 2022.
    """

    module: nn.Module

    def __call__(self, frozen: Tree, batch: Batch, images: jax.Array) -> Outputs:
        return self.module.apply(frozen, images, train=False)


@dataclasses.dataclass(frozen=True)
class CachedTeacher:
    """Looks the teacher's logits up by global id; ``frozen`` is the table ``{"logits": [ids, K]}``."""

    def __call__(self, frozen: Tree, batch: Batch, images: jax.Array) -> Outputs:
        return Outputs(frozen["logits"][batch["id"]], {})


def logit_table(logits: np.ndarray, ids: np.ndarray) -> Mapping[str, np.ndarray]:
    """Computes a :class:`CachedTeacher`'s table.

    Args:
      logits: the teacher's on the training set, ``[N, K]``, in row order.
      ids: the rows' global ids, ``[N]``.

    Returns:
      ``{"logits": float32 [max(ids) + 1, K]}``; ids that are not in the training set have NaN.
    """
    table = np.full((int(ids.max()) + 1, logits.shape[-1]), np.nan, np.float32)
    table[ids] = logits
    return {"logits": table}


def check_cacheable(is_random: bool, key: str) -> None:
    """Refuses to cache the answers on a view that changes from step to step.

    Raises:
      UserError: naming the key.
    """
    if is_random:
        raise UserError(f"{key}.cached=True, but config.view is random (shift, flip): the cached answers would not fit")


def checkpoint_model(folder: str, info: DatasetInfo, key: str) -> nn.Module:
    """The network of an earlier run, from the config that its checkpoints carry.

    Raises:
      UserError: if there is no checkpoint, or the network tells other classes apart than the dataset has.
    """
    checkpoints = Path(folder) / "checkpoints"
    newest = stored.steps(checkpoints)[-1]
    trained = stored.read_meta(checkpoints, newest)["identity"]
    if trained["num_classes"] != info.num_classes:
        raise UserError(
            f"{key}.checkpoint={folder}: the teacher knows {trained['num_classes']} classes, "
            f"{info.name!r} has {info.num_classes}"
        )
    return make_model(trained["run"]["model"], info.num_classes)
