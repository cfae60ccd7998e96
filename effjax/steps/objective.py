"""What a step minimises: a weighted sum of named terms over a student and its frozen teachers."""

import contextlib
import dataclasses
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError, check_known
from effjax.metrics import Metric
from effjax.models import Outputs
from effjax.models.convolutions import computed_by
from effjax.models.remat import UnknownPart
from effjax.models.smoothing import smoothed_maps
from effjax.steps import rng
from effjax.steps.batch_selection import BatchSelection
from effjax.steps.network import Network
from effjax.steps.pruning import Pruning
from effjax.steps.term import Teacher, Term, TermInputs
from effjax.steps.views import View
from effjax.steps.weightings import Weighting
from effjax.typing import Batch, PyTree

Outcome = Callable[[PyTree, Batch], tuple[jax.Array, jax.Array]]

#: The feature of a batch that says what each example counts for, ``[B]``, where a step has chosen them.
WEIGHT = "example_weight"
#: The feature that says by which step's draws each example is seen, ``[B]``, where that is not the step itself.
DRAWN_AT = "drawn_at"
#: What the state calls its own, so that no term can be called so.
_NAMES = {"student": "parameters have", "weighting": "memory has", "selection": "memory has"}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A student, its teachers, and the terms between them.

    Attributes:
      student: the network that is trained, as :func:`effjax.models.create` makes it.
      terms: the terms by name. Their order does not matter.
      teachers: the teachers by name.
      view: how stored images become the networks' input.
      views: further ones by name, in which training sees the same examples once more, drawn apart, for terms that name
        them. The student answers to one after the other, the first of all.
      trainable: a regular expression; parameters whose path it fully matches are trained, all others stay as they are.
      inputs: the features of a batch that the student reads, in the order of its call.
      metrics: what is measured of the student's predictions, by name: a task's.
      outcome: from predictions and a batch to the student's confidence in what is right ``[B]`` and whether it was
        its choice ``[B]``: a task's, for what is recorded of each example; None where it has none.
      through: pure functions from the student's parameters to those that it computes with, in order: masks, roundings.
      pruning: which of the student's weights are removed as training goes on; None: none.
      weighting: what examples count for, by their losses; None: all the same.
      selection: which of more candidates a step trains on; None: on all that it is given.
      smoothing: from the global step to the standard deviation, in pixels, of what blurs the student's feature maps in
        training; None: nothing does.
      accumulate: into how many parts a batch is cut, in the place of what :func:`make_train_step` is told; None: that.
      remat: what of the student is computed anew for the gradient, see :class:`~effjax.steps.Network`.
      convolutions: what computes those of all networks and terms on CPUs, see :func:`~effjax.models.computed_by`.
    """

    student: nn.Module
    terms: Mapping[str, Term]
    teachers: Mapping[str, Teacher] = dataclasses.field(default_factory=dict)
    view: View = dataclasses.field(default_factory=View)
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)
    trainable: str = ".*"
    inputs: tuple[str, ...] = ("image",)
    metrics: Mapping[str, Metric] = dataclasses.field(default_factory=dict)
    outcome: Outcome | None = None
    through: tuple[Callable[[PyTree], PyTree], ...] = ()
    pruning: Pruning | None = None
    weighting: Weighting | None = None
    selection: BatchSelection | None = None
    smoothing: Callable[[jax.Array], jax.Array] | None = None
    accumulate: int | None = None
    remat: str = ""
    convolutions: str = "xla"

    def __post_init__(self):
        if not self.terms:
            raise UserError("terms: nothing to minimise; name at least one")
        for name, owned in _NAMES.items():
            if name in self.terms:
                raise UserError(f"terms.{name}: the {name}'s {owned} this name; take another")
        for name, term in self.terms.items():
            for teacher in term.teachers:
                check_known(teacher, self.teachers, f"terms.{name}: no teacher {teacher!r}")
            if term.view:
                check_known(term.view, self.views, f"terms.{name}: no view {term.view!r}")
                for teacher in term.teachers:
                    if getattr(self.teachers[teacher], "is_stored", False):
                        raise UserError(
                            f"terms.{name}.view={term.view!r}: the answers of the teacher {teacher!r} are stored, and "
                            "are about the first view alone; let it run beside the student"
                        )

    def restrict(self, terms: Collection[str]) -> "Objective":
        """The objective with only these terms, and only the teachers that they need.

        Raises:
          UserError: if a term is not known.
        """
        for name in terms:
            check_known(name, self.terms, f"terms: no term {name!r}")
        kept = {name: self.terms[name] for name in sorted(terms)}
        needed = {teacher for term in kept.values() for teacher in term.teachers}
        return dataclasses.replace(
            self,
            terms=kept,
            teachers={name: teacher for name, teacher in self.teachers.items() if name in needed},
        )

    def init(self, key: jax.Array, batch: Batch, frozen: Mapping[str, PyTree]) -> tuple[dict[str, PyTree], PyTree]:
        """Draws the parameters, the terms' own included, and the model state.

        Of ``batch`` and ``frozen`` only shapes and types matter, and ``frozen`` only to terms with parameters.

        Raises:
          UserError: naming a term that cannot be set up on what the networks return.
        """
        first = {name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype) for name, array in batch.items()}
        inputs = self.network.shapes(batch)
        # The shape is all that a layer needs to know; drawn one by one, the student does not depend on the terms.
        variables = dict(self.student.init(key, *(jnp.zeros(x.shape, x.dtype) for x in inputs)))
        params = {"student": variables.pop("params")}
        for name, term in self.terms.items():
            if term.init is not None:
                with blame(name):
                    inputs = self.restrict([name])._shapes({"params": params["student"], **variables}, first, frozen)
                    drawn = term.init(jax.random.fold_in(key, zlib.crc32(name.encode())), inputs)
                if drawn:
                    params[name] = drawn
        return params, variables

    @property
    def remembers(self) -> tuple[str, ...]:
        """The names of the terms that remember something of examples."""
        return tuple(name for name, term in self.terms.items() if term.remember is not None)

    @property
    def remembers_ids(self) -> bool:
        """Whether what a selection remembers is as long as there are ids."""
        return self.selection is not None and self.selection.remember is not None

    def memory(
        self,
        key: jax.Array,
        params: PyTree,
        variables: PyTree,
        batch: Batch,
        frozen: Mapping[str, PyTree],
        classes: np.ndarray | None,
        num_ids: int = 0,
    ) -> PyTree:
        """Makes what is remembered before the first step, by the name of the term; an empty tuple if nothing is.

        What the weighting and the selection remember has their names.

        Args:
          key: for what is drawn.
          params: as :meth:`init` has drawn them.
          variables: the model state that it has returned.
          batch: shapes and types.
          frozen: shapes and types.
          classes: of the training set by global id, ``[M]``, −1 where an id is no example's.
          num_ids: M, for a selection that remembers.

        Raises:
          UserError: if a term remembers, and the classes are not known; or a selection, and M is not.
        """
        made: dict[str, PyTree] = {}
        if self.weighting is not None and self.weighting.remember is not None:
            made["weighting"] = self.weighting.remember()
        if self.selection is not None and self.selection.remember is not None:
            if not num_ids:
                raise UserError("selection: it remembers examples, and it is not known how many: init_state(num_ids=…)")
            made["selection"] = self.selection.remember(num_ids)
        if not self.remembers:
            return made or ()
        first = {name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype) for name, array in batch.items()}
        variables = {"params": params["student"], **variables}
        for name in self.remembers:
            with blame(name):
                if classes is None:
                    raise UserError("it remembers examples, whose classes must be known: init_state(classes=…)")
                inputs = self.restrict([name])._shapes(variables, first, frozen)
                own = jax.random.fold_in(key, zlib.crc32(f"{name} remembers".encode()))
                made[name] = cast(Callable, self.terms[name].remember)(own, inputs, classes)
        return made

    def _shapes(self, variables: PyTree, batch: PyTree, frozen: Mapping[str, PyTree]) -> TermInputs:
        """What the terms, all of one view, will look at, as shapes."""
        (view,) = {term.view for term in self.terms.values()}

        def forward(variables, batch, frozen):
            seen = self.view.see(batch)
            return self._tapped(view)(variables, seen), self._ask(frozen, seen, view)

        # A device's part of the batch is all that exists while shapes are looked at, so no axis is bound.
        student, teachers = jax.eval_shape(forward, variables, batch, {name: frozen[name] for name in self.teachers})
        return TermInputs(student, teachers, batch, None, cast(jax.Array, jax.ShapeDtypeStruct((), jnp.int32)))

    def evaluate(
        self,
        params: PyTree,
        model_state: PyTree,
        frozen: PyTree,
        batch: Batch,
        seed: jax.Array,
        step: jax.Array,
        *,
        axis_name: str | None = None,
        memory: PyTree = (),
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], TermInputs, PyTree]]:
        """Runs the networks and the terms on one training batch; ``memory`` is what terms remember, by name.

        Returns:
          ``(loss, (values, seen, model_state))``: the weighted sum of the terms' batch means ``[]``; each term's
          unweighted values ``[B]`` by name; what the terms looked at; the student's new running statistics.
        """
        given = frozen, batch, seed, step, axis_name
        seen, model_state = self._look("", params, model_state, *given, train=True)
        looks = {"": seen}
        for name in self.further:
            looks[name], model_state = self._look(name, params, model_state, *given, train=True)
        batch = seen.batch
        values, remembered = {}, dict(memory) if memory else {}
        for name, term in self.terms.items():
            own = looks[term.view]._replace(params=params.get(name), memory=remembered.get(name))
            with computed_by(self.convolutions):
                value = term.loss(own)
            if term.remember is not None:
                value, remembered[name] = value
            values[name] = jnp.broadcast_to(value, batch["id"].shape)
        if self.weighting is None and WEIGHT not in batch:
            loss = sum(term.weight_at(step) * values[name].mean() for name, term in self.terms.items())
        else:
            each, weights = self.total(values, step), batch.get(WEIGHT, 1.0)
            if self.weighting is not None:
                own = jax.lax.stop_gradient(each), remembered.get("weighting"), axis_name
                weight, kept = self.weighting.weigh(*own)
                weights *= weight
                remembered |= {} if self.weighting.remember is None else {"weighting": kept}
            loss = (weights * each).mean()
        seen = seen._replace(memory=remembered if memory else ())
        return cast(jax.Array, loss), (values, seen, model_state)

    def total(self, values: Mapping[str, jax.Array], step: jax.Array) -> jax.Array:
        """The weighted sum of the terms' values ``[B]``, per example."""
        return cast(jax.Array, sum(term.weight_at(step) * values[name] for name, term in self.terms.items()))

    def losses_of(
        self,
        params: PyTree,
        model_state: PyTree,
        frozen: PyTree,
        batch: Batch,
        seed: jax.Array,
        step: jax.Array,
        *,
        axis_name: str | None = None,
        memory: PyTree = (),
    ) -> tuple[jax.Array, PyTree]:
        """What examples would cost, without learning from them: with running statistics and without dropout.

        They are augmented as :meth:`evaluate` augments them at this step, but not mixed with one another. Terms that
        remember something have no part in it.

        Returns:
          The weighted sum of the terms ``[B]``, and the student's predictions ``[B, ...]``.
        """
        some = self.restrict([name for name, term in self.terms.items() if term.remember is None])
        given = params, model_state, frozen, batch, seed, step, axis_name
        looks = {name: some._look(name, *given, train=False)[0] for name in ("", *some.further)}
        with computed_by(self.convolutions):
            values = {
                name: term.loss(looks[term.view]._replace(params=params.get(name))) for name, term in some.terms.items()
            }
        values = {name: jnp.broadcast_to(value, batch["id"].shape) for name, value in values.items()}
        return some.total(values, step), looks[""].student.preds

    @property
    def further(self) -> list[str]:
        """The views besides the first that terms look at."""
        return sorted({term.view for term in self.terms.values() if term.view})

    def _look(
        self,
        name: str,
        params: PyTree,
        model_state: PyTree,
        frozen: PyTree,
        batch: Batch,
        seed: jax.Array,
        step: jax.Array,
        axis_name: str | None,
        *,
        train: bool,
    ) -> tuple[TermInputs, PyTree]:
        """What terms see of a stored batch in one of the views, and the student's statistics after it.

        In training examples may be mixed and units dropped, and statistics move; else they are as augmented alone.
        """
        view, drawn = (self.views[name], rng.seed_of_view(seed, name)) if name else (self.view, seed)
        copies = batch.get("copy")
        if DRAWN_AT in batch:  # by a replay buffer: as it was the first time
            keys, version = view.draw(drawn, batch[DRAWN_AT], batch["id"])
        else:
            keys, version = view.draw(drawn, step, batch["id"], copies)
        if version is not None:
            batch = {**batch, "version": version}
        batch = view.see(batch, keys, step)
        student, variables = self._tapped(name), {"params": params["student"], **model_state}
        if train and view.mixes:
            if DRAWN_AT in batch:  # what is shown again is mixed anew
                keys, _ = view.draw(drawn, step, batch["id"], copies)
            labels = jax.nn.one_hot(batch["label"], self.student.num_classes)
            images, labels = view.mixed(keys, rng.purpose_key(drawn, step, "mix"), batch["image"], labels)
            batch = {**batch, "image": images, "label": labels}
        with self._smoothed(step):
            if train:
                dropout = rng.example_keys(rng.purpose_key(drawn, step, "dropout"), batch["id"], copies)
                options = {"dropout_keys": dropout, "mutable": list(model_state)}
                outputs, model_state = student(variables, batch, train=True, **options)
            else:
                outputs = student(variables, batch, train=False)
        return TermInputs(outputs, self._ask(frozen, batch, name), batch, None, step, axis_name, seed), model_state

    def _smoothed(self, step: jax.Array) -> contextlib.AbstractContextManager[Any]:
        """Within it, the student's feature maps are as blurred as they are at a step."""
        return contextlib.nullcontext() if self.smoothing is None else smoothed_maps(self.smoothing(step))

    @property
    def network(self) -> Network:
        """The student, with what it is shown."""
        return Network(self.student, self.view, self.inputs, self.through, self.remat, self.convolutions)

    def _tapped(self, view: str) -> Network:
        """The student in one of the views, which returns the activations that the terms look at there."""
        network = dataclasses.replace(self.network, view=self.views[view]) if view else self.network
        return network.tapped(_union(term.student_taps for term in self.terms.values() if term.view == view))

    def _ask(self, frozen: PyTree, seen: Batch, view: str) -> dict[str, Outputs]:
        """The teachers' outputs in one of the views; in further ones of those alone that its terms need."""
        answers = {}
        for name, teacher in self.teachers.items():
            terms = [term for term in self.terms.values() if name in term.teachers and term.view == view]
            if view and not terms:
                continue
            taps = _union(term.teacher_taps for term in terms)
            asked = teacher.with_taps(taps) if taps else teacher
            with computed_by(self.convolutions):
                answers[name] = asked(frozen[name], seen)
        return answers


def _union(taps: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({path for paths in taps for path in paths}))


@contextlib.contextmanager
def blame(term: str) -> Iterator[None]:
    """Says which term an error comes from."""
    try:
        yield
    except UnknownPart:  # of the network, whatever the term
        raise
    except UserError as error:
        raise UserError(f"terms.{term}: {error}") from error
