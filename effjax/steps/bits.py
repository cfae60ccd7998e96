"""Training with few bits: the student becomes a quantised network where a stage begins."""

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import flax.linen as nn

from effjax.errors import UserError
from effjax.models import QuantizedModule, Scheme
from effjax.steps.objective import Objective
from effjax.steps.optimizers import restart
from effjax.steps.state import TrainState
from effjax.typing import PyTree

if TYPE_CHECKING:
    from effjax.steps.settings import Entry, Subject


def with_bits(objective: Objective, bits: str | None) -> Objective:
    """The objective of the quantised student; None is the student as it is."""
    if bits is None:
        return objective
    return dataclasses.replace(objective, student=as_module(objective.student, bits))


def as_module(student: nn.Module, bits: str) -> nn.Module:
    """A student in few bits; it is called like a flax module."""
    return cast(nn.Module, QuantizedModule(student, Scheme.parse(bits)))


def bits_problem(bits: Any, subject: "Subject") -> str | None:
    """What is wrong with a value of the plan, in words."""
    if bits is None:
        return None
    if subject.objective.inputs != ("image",):
        return f"{bits!r}: networks that read {', '.join(subject.objective.inputs)} cannot be quantised"
    try:
        QuantizedModule(subject.objective.student, Scheme.parse(bits)).graph(subject.image_shape)
    except UserError as error:
        return str(error)
    return None


def quantize_state(state: TrainState, entry: "Entry") -> TrainState:
    """What a stage with fewer bits makes of a state: the student folded and calibrated, the optimiser begun afresh.

    The average of the parameters is quantised as they are.

    Args:
      state: of one network.
      entry: of the stage.

    Returns:
      The state.

    Raises:
      UserError: if floats are asked for after few bits.
    """
    if entry.value is None:
        raise UserError(f"None after {entry.before!r}: a network that has been quantised does not become floats again")
    module = cast(QuantizedModule, entry.objective.student)

    def begun(params: PyTree) -> tuple[PyTree, PyTree]:
        variables = {"params": params["student"], **state.model_state}
        begin = module.begin if entry.before is None else module.begin_again
        student, rest = _parted(begin(variables, entry.images()))
        return {**params, "student": student}, rest

    params, model_state = begun(state.params)
    ema = begun(state.ema)[0] if state.ema != () else ()
    opt_state = restart(entry.optimizer, state.opt_state, params)
    new = state.replace(params=params, model_state=model_state, ema=ema, opt_state=opt_state)
    if state.masks != () and entry.before is None:
        new = new.replace(masks={"weights": state.masks})  # a layer is called as it was, one room further in
    return new.replace(best=new.eval_variables) if state.best != () else new


def _parted(variables: dict[str, PyTree]) -> tuple[PyTree, PyTree]:
    return variables["params"], {name: value for name, value in variables.items() if name != "params"}
