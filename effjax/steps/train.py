"""The one pure training step."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from effjax.errors import UserError
from effjax.metrics import Mean
from effjax.pruning import sparsity_of
from effjax.steps.batch_selection import BatchSelection
from effjax.steps.masks import path_mask, split
from effjax.steps.objective import WEIGHT, Batch, Objective
from effjax.steps.pruned import kept_gradients, renew_masks, through_masks
from effjax.steps.records import update_records
from effjax.steps.selected import selected
from effjax.steps.state import TrainState
from effjax.steps.term import TermInputs
from effjax.typing import PyTree

Metrics = Mapping[str, Mean]
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_train_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    axis_name: str | None = None,
    accumulate: int = 1,
    ema_decay: float | None = None,
    record: bool = False,
    spread: Callable[[PyTree], PyTree] = lambda batch: batch,
    devices: int = 1,
) -> Step:
    """Builds the pure step ``(state, batch) -> (state, metrics)``; the caller jits or pmaps it.

    Args:
      objective: what to minimise in this stage.
      optimizer: any optax transformation over the whole of ``state.params``.
      axis_name: the axis that gradients are averaged and metrics are summed over, if the step runs under ``pmap``.
      accumulate: into how many parts the batch is cut, one after the other, to save memory. The gradient is that of
        the whole batch; only BatchNorm sees the parts. Where the objective says another number, that.
      ema_decay: the decay of the parameters' moving average per step; None keeps none.
      record: whether ``state.records`` notes what becomes of each example.
      spread: lays a batch that the step has chosen over the devices, where one program sees all of it.
      devices: over how many the batch is laid that the step sees; each accumulates over the examples that it has.

    Returns:
      The step; where it selects, the batch that it is given are the candidates. Its metrics are sums and counts over
      the global batch: ``loss`` (the weighted sum), ``loss/<term>`` (unweighted), those of the objective's that are
      measured in training, ``grad_norm`` (before any clipping), where weights are removed ``sparsity``, and where a
      selection may leave places of the batch empty ``used``.

    Raises:
      UserError: if it is to record, and the objective has no outcome.

    References:
      Polyak & Juditsky, `Acceleration of Stochastic Approximation by Averaging <https://doi.org/10.1137/0330046>`_.
    """
    parts = objective.accumulate or accumulate
    outcome_of, selection = objective.outcome if record else None, objective.selection
    learns = selection is not None and selection.active and selection.learn is not None
    if record and outcome_of is None:
        raise UserError("record=True: the objective has no outcome of an example to record; give it one, outcome=…")

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        mask = path_mask(state.params, objective.trainable, key="trainable")
        chosen, join = split(state.params, mask)
        seen_through, pruning = through_masks(objective, state), objective.pruning
        if selection is not None and selection.active:
            batch = selected(seen_through, state, batch, axis_name, spread)

        def loss_and_metrics(chosen, carried, part):
            model_state, memory = carried
            given = model_state, state.frozen, part, state.seed, state.step
            loss, (values, seen, model_state) = seen_through.evaluate(
                join(chosen), *given, axis_name=axis_name, memory=memory
            )
            outcome: tuple[Any, ...] = outcome_of(seen.student.preds, part) if outcome_of else ()
            if learns:
                outcome = (*outcome, objective.total(values, seen.step))
            return loss, (_batch_metrics(objective, values, seen), outcome, (model_state, seen.memory))

        carried = state.model_state, state.memory
        grads, metrics, outcome, (model_state, memory) = _gradients(
            loss_and_metrics, chosen, carried, batch, parts, devices
        )
        records = state.records
        if outcome:
            noted = (batch["id"], *outcome)
            if axis_name is not None:
                noted = jax.lax.all_gather(noted, axis_name, tiled=True)
            ids, *outcome = noted
            if learns:
                learn, losses = cast(Callable, cast(BatchSelection, selection).learn), outcome.pop()
                memory = {**memory, "selection": learn(memory["selection"], ids, losses)}
            if record:
                prob, right = outcome
                records = update_records(records, ids, prob, right, state.step)
        if axis_name is not None:
            grads, model_state = jax.lax.pmean((grads, model_state), axis_name)
            metrics = jax.lax.psum(metrics, axis_name)

        # The optimiser always sees the whole tree, so that its state keeps one structure through all stages;
        # what is frozen has no gradient, and whatever the optimiser makes of that (momentum, decay) is dropped.
        _, join_grads = split(jax.tree.map(jnp.zeros_like, state.params), mask)
        gradients = join_grads(grads)
        kept = gradients if pruning is None else kept_gradients(gradients, state, pruning)
        metrics["grad_norm"] = Mean.empty().update(optax.tree.norm(split(kept, mask)[0]))
        updates, opt_state = optimizer.update(kept, state.opt_state, state.params)
        params = join(optax.apply_updates(chosen, split(updates, mask)[0]))
        ema = optax.incremental_update(params, state.ema, 1.0 - ema_decay) if ema_decay else state.ema
        new = {"params": params, "model_state": model_state, "opt_state": opt_state, "ema": ema, "records": records}
        new = state.replace(step=state.step + 1, memory=memory, **new)
        if pruning is not None:
            new = renew_masks(new, state, gradients, mask, pruning)
            metrics["sparsity"] = Mean.empty().update(sparsity_of(new.masks))
        return new, metrics

    return step


def _gradients(loss_and_metrics, chosen, carried, batch, accumulate, devices):
    """Returns the gradient of the batch's mean loss, the summed metrics, the outcomes, and what is carried along."""
    value_and_grad = jax.value_and_grad(loss_and_metrics, has_aux=True)
    if accumulate == 1:
        (_, (metrics, outcome, carried)), grads = value_and_grad(chosen, carried, batch)
        return grads, dict(metrics), outcome, carried
    size = batch["id"].shape[0]
    if size % (accumulate * devices):
        size = f"{size // devices} examples on each device"
        raise UserError(f"accumulate={accumulate} does not divide the batch of {size}")

    def swapped(x, first, second):
        """A batch cut into ``first`` times ``second``, the other way round: what lies on a device stays there."""
        return x.reshape(first, second, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)

    parts = jax.tree.map(lambda x: swapped(x, devices, accumulate).reshape(accumulate, -1, *x.shape[1:]), batch)

    def body(carry, part):
        grads, carried = carry
        (_, (metrics, outcome, carried)), new = value_and_grad(chosen, carried, part)
        return (jax.tree.map(lambda a, b: a + b / accumulate, grads, new), carried), (metrics, outcome)

    zeros = jax.tree.map(jnp.zeros_like, chosen)
    # Rolled, a convolution is 30 times slower on CPU; unrolled, the parts still follow one another.
    unroll = jax.default_backend() == "cpu"
    (grads, carried), (metrics, outcome) = jax.lax.scan(body, (zeros, carried), parts, unroll=unroll)
    metrics = jax.tree.map(lambda x: x.sum(0), dict(metrics))
    return grads, metrics, jax.tree.map(lambda x: swapped(x.reshape(-1), accumulate, devices), outcome), carried


def _batch_metrics(objective: Objective, values: Mapping[str, jax.Array], seen: TermInputs) -> dict[str, Mean]:
    metrics = {f"loss/{name}": Mean.empty().update(value) for name, value in values.items()}
    weighted = objective.total(values, seen.step)
    metrics["loss"] = Mean.empty().update(weighted)
    if WEIGHT in seen.batch:
        metrics["used"] = Mean.empty().update((seen.batch[WEIGHT] > 0).astype(jnp.float32))
    everywhere = jnp.ones(weighted.shape, bool)
    for name, metric in objective.metrics.items():
        state = metric.update(seen.student.preds, seen.batch, everywhere) if metric.in_training else None
        if state is not None:
            metrics[name] = cast(Mean, state)
    return metrics
