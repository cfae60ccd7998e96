"""Checks before the first step: what is on must act."""

from collections.abc import Callable, Collection, Mapping, Sequence

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.steps.axes import on_axis
from effjax.steps.masks import path_mask, split
from effjax.steps.objective import Objective, blame
from effjax.steps.state import TrainState
from effjax.typing import Array, PyTree


def check_terms_act(
    objective: Objective, state: TrainState, batch: Mapping[str, Array], *, axis_name: str | None = None
) -> None:
    """Checks that every active term depends on a parameter that is trained.

    Only traces the terms' derivatives; nothing is compiled or run, and shapes serve for arrays. So a tap that matches
    no activation is found here too, before the first step.

    Args:
      objective: the objective of one stage.
      state: the run's state, with the teachers of this stage in ``frozen``.
      batch: a batch.
      axis_name: the axis that the student's BatchNorm averages over, if any.

    Raises:
      UserError: naming a term whose gradient is zero whatever the data, or a teacher whose classes do not fit.
    """
    check_teachers_fit(objective, state, batch)
    names = list(objective.terms)
    try:
        idle = _idle(objective, names, state, batch, axis_name)
    except UserError:
        for name in names:  # one by one, to say which
            with blame(name):
                _idle(objective, [name], state, batch, axis_name)
        raise
    for name in idle:
        with blame(name):
            raise UserError(f"no trained parameter moves it (trainable={objective.trainable!r})")


def _idle(
    objective: Objective, names: Sequence[str], state: TrainState, batch: Mapping[str, Array], axis_name: str | None
) -> list[str]:
    """Those of the terms whose gradient in what is trained is a structural zero, all found in one tracing."""
    mask = path_mask(state.params, objective.trainable, key="trainable")
    chosen, _ = split(state.params, mask)
    chosen = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in chosen]
    some = objective.restrict(names)

    def terms(chosen, state, batch):
        _, join = split(state.params, mask)
        given = state.model_state, state.frozen, batch, state.seed, state.step
        _, (values, _, _) = some.evaluate(join(chosen), *given, axis_name=axis_name, memory=state.memory)
        return [values[name].mean() for name in names]

    def pulled_back(cotangents, chosen, *args):
        # Backwards, not forwards: a function with a derivative of its own may know only this way. And within the axis,
        # as training does: such a derivative, asked for from outside, does not find it (jax 0.10).
        losses, backwards = jax.vjp(lambda chosen: terms(chosen, *args), chosen)
        return backwards([one.astype(loss.dtype) for one, loss in zip(cotangents, losses, strict=True)])

    def within(cotangents, *args):
        return on_axis(lambda *args: pulled_back(cotangents, *args), axis_name)(*args)

    cotangents = [jax.ShapeDtypeStruct((), jnp.float32)] * len(names)
    jaxpr = jax.make_jaxpr(within)(cotangents, chosen, state, batch).jaxpr
    return [name for number, name in enumerate(names) if not any(_reached(jaxpr, [number]))]


def check_teachers_fit(objective: Objective, state: TrainState, batch: Mapping[str, Array]) -> None:
    """Checks that every teacher of a classifier answers with as many classes as the student has.

    Raises:
      UserError: naming the teacher and both numbers.
    """
    if not objective.teachers:
        return

    def predictions(state, batch):
        student = objective.network.predict({"params": state.params["student"], **state.model_state}, batch)
        seen = objective.view.see(batch)
        teachers = {name: teacher(state.frozen[name], seen) for name, teacher in objective.teachers.items()}
        return student.preds, {name: outputs.preds for name, outputs in teachers.items()}

    student, teachers = jax.eval_shape(predictions, state, batch)
    if not isinstance(student, jax.ShapeDtypeStruct):  # of other predictions, the terms say what does not fit
        return
    for name, teacher in teachers.items():
        if teacher.shape[-1] != student.shape[-1]:
            raise UserError(
                f"teachers.{name}: the teacher knows {teacher.shape[-1]} classes, "
                f"the student's dataset has {student.shape[-1]}"
            )


def depends_on_first(function: Callable, *args: PyTree) -> bool:
    """Whether what a function returns is computed from its first argument, one array; only traces it."""
    return any(_reached(jax.make_jaxpr(function)(*args).jaxpr, [0]))


def _reached(jaxpr, numbers: Collection[int]) -> list[bool]:
    """Which of a program's outputs are computed from the inputs of these numbers."""
    reached = {jaxpr.invars[number] for number in numbers}
    for eqn in jaxpr.eqns:  # in order
        touched = [number for number, v in enumerate(eqn.invars) if not hasattr(v, "val") and v in reached]
        if not touched:
            continue
        inner = eqn.params.get("jaxpr") if eqn.primitive.name in ("jit", "pjit") else None
        # Of a call, what its program says; of any other operation, all outputs are reached if any of its inputs is.
        outputs = _reached(inner.jaxpr, touched) if inner is not None else [True] * len(eqn.outvars)
        reached.update(v for v, is_reached in zip(eqn.outvars, outputs, strict=True) if is_reached)
    return [not hasattr(v, "val") and v in reached for v in jaxpr.outvars]
