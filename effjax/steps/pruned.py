"""What pruning does inside of a training step: what is removed is 0, wherever it lies in the state."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from effjax.pruning.paths import by_path, path_name
from effjax.steps.objective import Objective
from effjax.steps.pruning import Pruning
from effjax.steps.state import TrainState
from effjax.steps.student_masks import masked_student
from effjax.typing import PyTree


def through_masks(objective: Objective, state: TrainState) -> Objective:
    """The objective of a student that computes with what its masks leave."""
    if objective.pruning is None:
        return objective
    return dataclasses.replace(objective, through=(*objective.pruning.through(state.masks), *objective.through))


def kept_gradients(gradients: PyTree, state: TrainState, pruning: Pruning) -> PyTree:
    """What of the gradients moves the parameters: nothing moves a weight that is removed."""
    return masked_student(gradients, _pins(state, pruning))


def renew_masks(
    state: TrainState, before: TrainState, gradients: PyTree, trained: PyTree, pruning: Pruning
) -> TrainState:
    """Looks at the masks after an update, and sets to 0 what they remove: parameters, their average, moments of them.

    Args:
      state: after the update, with the masks from before it.
      before: the state before it.
      gradients: all of them, also of removed weights.
      trained: whether a parameter is trained in this stage, by parameter.
      pruning: how.
    """
    old = _pins(before, pruning)
    masks = pruning.next(
        *(masked_student(state.params, old)["student"], state.masks, gradients["student"], trained["student"]),
        *(state.seed, state.step),
    )
    state = state.replace(masks=masks)
    # What comes back does so as 0.
    pins = jax.tree.map(jnp.logical_and, old, _pins(state, pruning))
    return state.replace(
        params=masked_student(state.params, pins),
        ema=masked_student(state.ema, pins) if state.ema != () else (),
        opt_state=_masked_moments(state.opt_state, pins),
    )


def _pins(state: TrainState, pruning: Pruning) -> PyTree:
    """Which weights are not held at 0: those that are kept, or all, while removed ones still learn."""
    soft = pruning.is_soft(state.step)
    return jax.tree.map(lambda kept: kept | soft, state.masks)


def _masked_moments(opt_state: optax.OptState, masks: PyTree) -> optax.OptState:
    """An optimiser's state, 0 where its trees like the parameters hold something of a removed weight."""
    kept_at = {f"/student/{path}": kept for path, kept in by_path(masks).items()}

    def masked(path: tuple[Any, ...], leaf: Any) -> Any:
        name = f"/{path_name(path)}"
        kept = kept_at.get(name[name.find("/student/") :])
        return leaf if kept is None else jnp.where(kept, leaf, jnp.zeros_like(leaf))

    return jax.tree_util.tree_map_with_path(masked, opt_state)
