"""Taking a run's state over to another image size."""

from typing import Any

import jax
import numpy as np

from effjax.errors import UserError
from effjax.images import resize
from effjax.pruning.paths import path_name
from effjax.steps.state import TrainState

POSITION_TABLE = "position_table"


def resize_state(state: TrainState, shapes: TrainState) -> TrainState:
    """Interpolates what depends on the image size: position tables, their average and the optimiser's moments of them.

    A table is a grid ``[h, w, ...]``. Parameters are interpolated by cubics. The optimiser's are linearly: a second
    moment must not become negative, as cubics would make it.

    Args:
      state: as it is: arrays on the devices or on the host; what is interpolated lies where it lay.
      shapes: its shapes at the other image size: ``init_state`` under ``jax.eval_shape``. What its ``frozen`` holds
        does not matter: teachers stay as they are.

    Returns:
      The state at the other size; leaves that do not differ are the same objects.

    Raises:
      UserError: if anything but a position table differs: then the network itself is for one image size.

    References:
      Touvron et al, 2019, Fixing the train-test resolution discrepancy, https://arxiv.org/abs/1906.06423
      Touvron et al, 2021, Training data-efficient image transformers & distillation through attention (bicubic
      interpolation of the positions), https://arxiv.org/abs/2012.12877
    """

    def at_the_other_size(path: tuple[Any, ...], leaf: Any, shape: Any) -> Any:
        if np.shape(leaf) == shape.shape:
            return leaf
        name = path_name(path)
        if POSITION_TABLE not in name.split("/") or np.shape(leaf)[2:] != shape.shape[2:] or len(shape.shape) < 3:
            raise UserError(
                f"{name} has shape {np.shape(leaf)} and would have {shape.shape} at the other size; only a "
                f"{POSITION_TABLE} can follow. Keep image_size the same in all stages, or take a network for any "
                "size, such as resnet20 or vit"
            )
        return _interpolate(leaf, shape.shape[:2], "linear" if name.startswith("opt_state") else "cubic")

    resized = jax.tree_util.tree_map_with_path(at_the_other_size, state.replace(frozen={}), shapes.replace(frozen={}))
    return resized.replace(frozen=state.frozen)


def resize_table(name: str, table: Any, shape: tuple[int, ...]) -> Any | None:
    """Interpolates a position table by cubics, on the host or where it lies.

    Args:
      name: of the variable, with its path.
      table: a variable.
      shape: that it is to have.

    Returns:
      The table; None: the variable is none, or differs in more than the grid.
    """
    if POSITION_TABLE not in name.split("/") or np.shape(table)[2:] != shape[2:] or len(shape) < 3:
        return None
    return _interpolate(table, shape[:2], "cubic")


def _interpolate(table: Any, size: tuple[int, int], method: str) -> Any:
    grid = resize(table.reshape(*table.shape[:2], -1), size, method=method).reshape(*size, *table.shape[2:])
    return np.asarray(grid) if isinstance(table, np.ndarray) else grid
