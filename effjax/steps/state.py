"""What a run carries from step to step."""

from collections.abc import Mapping

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from effjax.steps.objective import Objective
from effjax.steps.pruning import Pruning
from effjax.steps.student_masks import masked_student
from effjax.typing import PyTree


class TrainState(flax.struct.PyTreeNode):
    """The state of a run; together with the config it determines all that follows.

    Attributes:
      step: how many updates have been made, int32 ``[]``.
      seed: what every random draw of the run derives from, uint32 ``[]``. Traced, so that runs which differ in
        nothing else share one compiled program.
      params: what is trained: ``{"student": …}``, and one entry for each term that has parameters of its own.
      model_state: the student's other collections (BatchNorm's running statistics).
      opt_state: the optimiser's state.
      ema: the moving average of ``params``, or an empty tuple.
      masks: which of the student's weights are kept, see :mod:`effjax.steps.student_masks`, or an empty tuple.
      records: what has been seen of each example, see :func:`effjax.steps.init_records`, or an empty tuple.
      memory: by term, what it remembers of the examples; so do ``weighting`` and ``selection``; or an empty tuple.
      best: where several networks train together, the variables for evaluation that did best on validation, each
        member's own; otherwise an empty tuple.
      frozen: by teacher, what its apply function reads. Not saved: it is loaded anew from the teacher's checkpoint.
    """

    step: jax.Array
    seed: jax.Array
    params: Mapping[str, PyTree]
    model_state: PyTree
    opt_state: optax.OptState
    ema: PyTree = ()
    masks: PyTree = ()
    records: PyTree = ()
    memory: PyTree = ()
    best: PyTree = ()
    frozen: Mapping[str, PyTree] = flax.struct.field(default_factory=dict)

    @property
    def eval_variables(self) -> Mapping[str, PyTree]:
        """The student's variables for evaluation: the averaged parameters where an average is kept, pruned."""
        params = self.ema if self.ema != () else self.params
        if self.masks != ():
            params = masked_student(params, self.masks)
        return {"params": params["student"], **self.model_state}


def init_state(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    seed: int | jax.Array,
    batch: Mapping[str, jax.Array],
    *,
    frozen: Mapping[str, PyTree] | None = None,
    ema: bool = False,
    classes: np.ndarray | None = None,
    num_ids: int = 0,
) -> TrainState:
    """Draws the parameters and sets the optimiser up.

    Args:
      objective: what will be minimised; it says which parameters there are.
      optimizer: any optax transformation.
      seed: the run's seed.
      batch: an example batch; only shapes and types matter.
      frozen: by teacher, what it reads, arrays or shapes: needed where a term has parameters sized by a teacher.
      ema: whether to keep a moving average of the parameters.
      classes: of the training set by global id, ``[M]``, −1 where an id is no example's; for terms that remember.
      num_ids: M, for a selection that remembers.

    Returns:
      The state before the first step, without teachers.
    """
    seed = jnp.asarray(seed, jnp.uint32)
    params, model_state = objective.init(jax.random.key(seed), batch, frozen or {})
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=seed,
        params=params,
        model_state=model_state,
        opt_state=optimizer.init(params),
        ema=jax.tree.map(jnp.copy, params) if ema else (),
        memory=objective.memory(jax.random.key(seed), params, model_state, batch, frozen or {}, classes, num_ids),
    )
    return state if objective.pruning is None else prune_first(state, objective.pruning)


def prune_first(state: TrainState, pruning: Pruning, *, trained: bool = False) -> TrainState:
    """The state before the first step, as sparse as its plan begins.

    Args:
      state: of one network.
      pruning: how.
      trained: whether its parameters are what another training has left, see :meth:`Pruning.first`.
    """
    masks = pruning.first(state.params["student"], state.seed, trained=trained)
    ema = masked_student(state.ema, masks) if state.ema != () else ()
    return state.replace(params=masked_student(state.params, masks), ema=ema, masks=masks)
