"""The state of a run before its first step."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import optax

from effjax.curricula import Stage
from effjax.runtime import Feed
from effjax.runtime.job import spec
from effjax.steps import Objective, Together, TrainState, init_records, init_state, stack_members
from effjax.steps.settings import apply_settings, values_that
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Drawing:
    """How a run's state before its first step is drawn, and what shapes the state has in each stage.

    Attributes:
      objective: of the run, which says what parameters there are.
      optimizer: of all parameters.
      feed: an example of whose batches says what networks read.
      frozen: by teacher, the shapes of what it reads.
      members: the networks that train in one program; None is one alone.
      ema: whether an average of the parameters is kept.
      num_records: of how many examples it is noted what becomes of them; 0: of none.
      forgetting: whether it is noted of these how often they are forgotten, too.
      classes: of the training set by global id, ``[M]``, for terms that remember examples; None: none does.
      num_ids: M, for a selection that remembers them; 0: none does.
    """

    objective: Objective
    optimizer: optax.GradientTransformation
    feed: Feed
    frozen: Mapping[str, PyTree]
    members: Together | None
    ema: bool
    num_records: int = 0
    forgetting: bool = False
    classes: np.ndarray | None = None
    num_ids: int = 0
    _shapes: dict[Stage, TrainState] = dataclasses.field(default_factory=dict, init=False)

    def one(self, stage: Stage, seed: jax.Array) -> TrainState:
        """The state of one network, if the run began with this stage."""
        objective = apply_settings(self.objective, values_that(stage.settings, "reshapes"))
        options = {"frozen": self.frozen, "ema": self.ema, "classes": self.classes, "num_ids": self.num_ids}
        state = init_state(objective, self.optimizer, seed, self._example(stage), **options)
        if not self.num_records:
            return state
        return state.replace(records=init_records(self.num_records, forgetting=self.forgetting))

    def shapes_at(self, stage: Stage) -> TrainState:
        """The shapes of the state, of one network or of several, in a stage."""
        if stage not in self._shapes:  # they are asked for again and again, and to trace a network takes a while
            shapes = jax.eval_shape(functools.partial(self.one, stage), np.uint32(0))
            self._shapes[stage] = together_shapes(shapes, self.members) if self.members else shapes
        return self._shapes[stage]

    def _example(self, stage: Stage) -> PyTree:
        """A batch of one network in a stage, as shapes: a loader may decode its images to the stage's size."""
        example = spec(self.feed.example(dict(stage.settings)))
        if not self.members:
            return example
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), example)


def together(states: Sequence[TrainState]) -> TrainState:
    """The state of networks that train in one program, each of which keeps what did best."""
    state = stack_members(states)
    return state.replace(best=state.eval_variables)


def together_shapes(shapes: TrainState, members: Together) -> TrainState:
    """The shapes of such a state, from those of one network."""
    return jax.eval_shape(lambda one: together([one] * members.count), shapes)
