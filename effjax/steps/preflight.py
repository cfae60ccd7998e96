"""Checks before the first step: what is on must act."""

from collections.abc import Callable, Mapping

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
    mask = path_mask(state.params, objective.trainable, key="trainable")
    chosen, _ = split(state.params, mask)
    chosen = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in chosen]
    check_teachers_fit(objective, state, batch)
    for name in objective.terms:

        def term(chosen, state, batch, name=name):
            _, join = split(state.params, mask)
            alone, params = objective.restrict([name]), join(chosen)
            return alone.evaluate(
                params, state.model_state, state.frozen, batch, state.seed, state.step, axis_name=axis_name
            )[0]

        with blame(name):
            if not _depends(on_axis(term, axis_name), chosen, state, batch):
                raise UserError(f"no trained parameter moves it (trainable={objective.trainable!r})")


def check_teachers_fit(objective: Objective, state: TrainState, batch: Mapping[str, Array]) -> None:
    """Checks that every teacher of a classifier answers with as many classes as the student has.

    Raises:
      UserError: naming the teacher and both numbers.
    """

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


def _depends(term, chosen: list[jax.ShapeDtypeStruct], *args: PyTree) -> bool:
    """Whether the gradient of ``term`` in ``chosen`` is anything but a structural zero."""

    def pulled_back(cotangent, chosen, *args):
        # Backwards, not forwards: a function with a derivative of its own may know only this way.
        loss, backwards = jax.vjp(lambda chosen: term(chosen, *args), chosen)
        return backwards(jnp.broadcast_to(cotangent, loss.shape).astype(loss.dtype))

    return depends_on_first(pulled_back, jax.ShapeDtypeStruct((), jnp.float32), chosen, *args)


def depends_on_first(function: Callable, *args: PyTree) -> bool:
    """Whether what a function returns is computed from its first argument, one array; only traces it."""
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    reached = {jaxpr.invars[0]}
    for eqn in jaxpr.eqns:  # in order: what an operation touches is reached if any of its inputs is
        if any(not hasattr(v, "val") and v in reached for v in eqn.invars):
            reached.update(eqn.outvars)
    return any(not hasattr(v, "val") and v in reached for v in jaxpr.outvars)
