"""What choosing among candidates does inside of a training step."""

from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp

from effjax.steps import rng
from effjax.steps.batch_selection import BatchSelection, Candidates
from effjax.steps.objective import WEIGHT, Objective
from effjax.steps.state import TrainState
from effjax.typing import Batch, PyTree


def selected(
    objective: Objective, state: TrainState, batch: Batch, axis_name: str | None, spread: Callable[[PyTree], PyTree]
) -> Batch:
    """The candidates that a step trains on, with what they count for.

    The scores of all devices are compared, so that what is chosen does not depend on how many there are; under ``pmap``
    the candidates' images are exchanged for it.

    Args:
      objective: of the step.
      state: before it.
      batch: the candidates; under ``pmap`` those of one device.
      axis_name: the axis that the candidates lie along, if the step runs under ``pmap``.
      spread: lays what is chosen over the devices again, where the step sees all of it.

    Returns:
      The batch; under ``pmap`` the device's part of it.
    """
    selection = cast(BatchSelection, objective.selection)
    memory = state.memory["selection"] if selection.remember else ()
    losses = preds = None
    if selection.asks:
        seen = (state.params, state.model_state, state.frozen, batch, state.seed, state.step)
        losses, preds = jax.lax.stop_gradient(objective.losses_of(*seen, axis_name=axis_name, memory=state.memory))
    keys = rng.example_keys(rng.purpose_key(state.seed, state.step, "select"), batch["id"])
    scores, weights = selection.score(Candidates(batch, losses, preds, keys, memory))
    everything = {**batch} if weights is None else {**batch, WEIGHT: weights}
    if axis_name is not None:
        scores, everything = jax.lax.all_gather((scores, everything), axis_name, tiled=True)
    size = round(len(scores) / selection.candidates)
    # In the order in which they came, so that equal scores leave a batch as it would have been.
    chosen = jnp.sort(jax.lax.top_k(scores, size)[1])
    if weights is not None:
        everything[WEIGHT] *= size / jnp.maximum((everything[WEIGHT][chosen] > 0).sum(), 1)
    if axis_name is not None:
        own = size // jax.lax.axis_size(axis_name)
        chosen = jax.lax.dynamic_slice_in_dim(chosen, jax.lax.axis_index(axis_name) * own, own)
    return spread(jax.tree.map(lambda x: x[chosen], everything))
