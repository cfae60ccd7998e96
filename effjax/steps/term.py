"""A summand of what a step minimises, what it may look at, and the teachers that it asks."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
import optax

from effjax.models import Outputs
from effjax.typing import Batch, PyTree


class TermInputs(NamedTuple):
    """What a term may look at.

    Attributes:
      student: the student's outputs on this batch.
      teachers: by name, the outputs of the teachers that the terms of this view need, on the very same view.
      batch: the batch itself: ``label`` ``[B]``, ``id`` ``[B]``, …
      params: the term's own trainable parameters, if it has any.
      step: the global step, traced: weights and temperatures may be schedules of it.
      axis_name: the mapped axis that the batch lies along, or None: terms that compare examples gather over it.
      seed: of the run, traced, for what a term draws (:mod:`effjax.steps.rng`).
      memory: what the term remembers, if it does; of what :meth:`Objective.evaluate` returns, what each term does now.
    """

    student: Outputs
    teachers: Mapping[str, Outputs]
    batch: Batch
    params: PyTree
    step: jax.Array
    axis_name: str | None = None
    seed: jax.Array | None = None
    memory: PyTree = None


class Teacher(Protocol):
    """A frozen teacher: reads what the state holds for it and answers for a batch, as the view shows it."""

    def __call__(self, frozen: PyTree, batch: Batch) -> Outputs: ...

    def with_taps(self, taps: tuple[str, ...]) -> "Teacher":
        """The same teacher, which also returns these activations. Only called with at least one."""
        ...


@dataclasses.dataclass(frozen=True)
class Term:
    """One summand of the objective.

    Attributes:
      loss: from :class:`TermInputs` to one value per example, ``[B]``; of a term that remembers, to the values and
        what it remembers after this step, the same on all devices.
      weight: a number, or an optax schedule of the global step.
      teachers: the names of the teachers it looks at; a teacher that no active term needs is not run.
      student_taps: paths of the student's activations that it looks at.
      teacher_taps: paths of its teachers' activations that it looks at.
      init: draws the term's own parameters, from a key and from :class:`TermInputs` that hold shapes for arrays.
      remember: makes what the term remembers of examples from step to step, from a key, such :class:`TermInputs`, and
        the classes of the training set by global id, ``[M]``, −1 where an id is no example's. It lies in the state.
      view: the name of the view of the batch that it looks at; empty: the first, that predictions are measured on.
    """

    loss: Callable[[TermInputs], Any]
    weight: float | optax.Schedule = 1.0
    teachers: tuple[str, ...] = ()
    student_taps: tuple[str, ...] = ()
    teacher_taps: tuple[str, ...] = ()
    init: Callable[[jax.Array, TermInputs], PyTree] | None = None
    remember: Callable[[jax.Array, TermInputs, np.ndarray], PyTree] | None = None
    view: str = ""

    def weight_at(self, step: jax.Array) -> jax.typing.ArrayLike:
        """The weight at a step."""
        return self.weight(step) if callable(self.weight) else self.weight
