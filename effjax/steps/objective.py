"""What a step minimises: a weighted sum of named terms over a student and its frozen teachers."""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import optax

from effjax.errors import UserError, nearest
from effjax.models import Outputs
from effjax.steps import rng
from effjax.steps.views import View

Tree = Any
Batch = Mapping[str, jax.Array]


class TermInputs(NamedTuple):
    """What a term may look at.

    Attributes:
      student: the student's outputs on this batch.
      teachers: by name, the outputs of the teachers that the terms of this stage need, on the very same view.
      batch: the batch itself: ``label`` ``[B]``, ``id`` ``[B]``, …
      params: the term's own trainable parameters, if it has any.
      step: the global step, traced: weights and temperatures may be schedules of it.
    """

    student: Outputs
    teachers: Mapping[str, Outputs]
    batch: Batch
    params: Tree
    step: jax.Array


class Teacher(Protocol):
    """A frozen teacher: reads what the state holds for it and answers for a batch."""

    def __call__(self, frozen: Tree, batch: Batch, images: jax.Array) -> Outputs: ...


@dataclasses.dataclass(frozen=True)
class Term:
    """One summand of the objective.

    Attributes:
      loss: from :class:`TermInputs` to one value per example, ``[B]``.
      weight: a number, or an optax schedule of the global step.
      teachers: the names of the teachers it looks at; a teacher that no active term needs is not run.
    """

    loss: Callable[[TermInputs], jax.Array]
    weight: float | optax.Schedule = 1.0
    teachers: tuple[str, ...] = ()

    def weight_at(self, step: jax.Array) -> jax.Array | float:
        return self.weight(step) if callable(self.weight) else self.weight


@dataclasses.dataclass(frozen=True)
class Objective:
    """A student, its teachers, and the terms between them.

    Attributes:
      student: the network that is trained, as :func:`effjax.models.create` makes it.
      terms: the terms by name. Their order does not matter.
      teachers: the teachers by name.
      view: how stored images become the networks' input.
      trainable: a regular expression; parameters whose path it fully matches are trained, all others stay as they are.
    """

    student: nn.Module
    terms: Mapping[str, Term]
    teachers: Mapping[str, Teacher] = dataclasses.field(default_factory=dict)
    view: View = dataclasses.field(default_factory=View)
    trainable: str = ".*"

    def __post_init__(self):
        if not self.terms:
            raise UserError("terms: nothing to minimise; name at least one")
        for name, term in self.terms.items():
            for teacher in term.teachers:
                if teacher not in self.teachers:
                    raise UserError(f"terms.{name}: no teacher {teacher!r}; {nearest(teacher, self.teachers)}")

    def restrict(self, terms: Collection[str], trainable: str | None = None) -> "Objective":
        """The objective of one stage: only these terms, and only the teachers that they need.

        Raises:
          UserError: if a term is not known.
        """
        for name in terms:
            if name not in self.terms:
                raise UserError(f"terms: no term {name!r}; {nearest(name, self.terms)}")
        kept = {name: self.terms[name] for name in sorted(terms)}
        needed = {teacher for term in kept.values() for teacher in term.teachers}
        return dataclasses.replace(
            self,
            terms=kept,
            teachers={name: teacher for name, teacher in self.teachers.items() if name in needed},
            trainable=self.trainable if trainable is None else trainable,
        )

    def init(self, key: jax.Array, batch: Batch) -> tuple[dict[str, Tree], Tree]:
        """Draws parameters and model state; of ``batch`` only shapes and types matter."""
        variables = dict(self.student.init(key, self.view(batch["image"][:1])))
        return {"student": variables.pop("params")}, variables

    def evaluate(
        self, params: Tree, model_state: Tree, frozen: Tree, batch: Batch, seed: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], jax.Array, Tree]]:
        """Runs the networks and the terms on one training batch.

        Returns:
          ``(loss, (values, logits, model_state))``: the weighted sum of the terms' batch means ``[]``; each term's
          unweighted values ``[B]`` by name; the student's logits ``[B, K]``; the student's new running statistics.
        """
        images = self.view(batch["image"], rng.example_keys(rng.purpose_key(seed, step, "augment"), batch["id"]))
        student, model_state = self.student.apply(
            {"params": params["student"], **model_state},
            images,
            train=True,
            dropout_keys=rng.example_keys(rng.purpose_key(seed, step, "dropout"), batch["id"]),
            mutable=list(model_state),
        )
        teachers = {name: teacher(frozen[name], batch, images) for name, teacher in self.teachers.items()}
        values = {
            name: term.loss(TermInputs(student, teachers, batch, params.get(name), step))
            for name, term in self.terms.items()
        }
        loss = sum(term.weight_at(step) * values[name].mean() for name, term in self.terms.items())
        return loss, (values, student.logits, model_state)
