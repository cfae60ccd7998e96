"""Terms between activations: hints, attention, relations between examples."""

import functools
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError, check_known
from effjax.models import Outputs
from effjax.steps.regressors import NONLINEARITIES, make_normalized_regressor, make_regressor
from effjax.steps.term import Term, TermInputs

Scheduled = float | optax.Schedule


def hint(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "",
    teacher_tap: str = "",
    form: str = "paper",
    regressor: str = "fitnets",
    nonlinearity: str = "relu",
    teacher: str = "teacher",
) -> Term:
    """FitNets' hint: the student's guided activation, through a regressor, against the teacher's.

    ``form`` is that of :func:`effjax.losses.hint_mse`. ``nonlinearity`` ("relu" or "none") ends the regressor; it
    should be what the teacher's activation has gone through. ``regressor`` is that of FitNets, which is none where the
    shapes agree, or RepDistiller's, which normalises and is always there. In a plan that trains first with the hint
    alone and then without it, this is FitNets; beside other terms all the way, it is what later papers call hints.
    """
    check_known(regressor, ("fitnets", "repdistiller"), f"regressor={regressor!r}")
    check_known(form, ("paper", "mean"), f"form={form!r}")
    check_known(nonlinearity, NONLINEARITIES, f"nonlinearity={nonlinearity!r}")

    def loss(inputs: TermInputs):
        student, target = pair_of(inputs, teacher, student_tap, teacher_tap)
        module = make(student.shape, target.shape, nonlinearity, axis_name=inputs.axis_name)
        if module is not None:
            student = cast(jax.Array, module.apply({"params": inputs.params}, student))
        return losses.hint_mse(student, target, form=form)

    make = make_normalized_regressor if regressor == "repdistiller" else _plain_regressor
    return _tapped(loss, weight, teacher, student_tap, teacher_tap, _init_regressor(nonlinearity, make=make))


def _plain_regressor(student, teacher, nonlinearity: str, *, axis_name: str | None = None):
    return make_regressor(student, teacher, nonlinearity)  # it sees each example by itself


def attention(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    form: str = "code",
    teacher: str = "teacher",
) -> Term:
    """Attention transfer: normalised maps of where the activations are large, summed over pairs of layers.

    ``form`` is that of :func:`effjax.losses.attention_transfer`.
    """
    check_known(form, ("code", "paper"), f"form={form!r}")
    one = functools.partial(losses.attention_transfer, form=form)
    return _over_layers(one, weight, teacher, student_taps, teacher_taps)


def selectivity(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    teacher: str = "teacher",
) -> Term:
    """NST: channels answer where the teacher's do, whichever they are; summed over pairs of layers."""
    return _over_layers(losses.neuron_selectivity, weight, teacher, student_taps, teacher_taps)


def flow(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    form: str = "mean",
    teacher: str = "teacher",
) -> Term:
    """FSP: which channels of consecutive layers answer together; the first layers first, of as many channels.

    ``form`` is that of :func:`effjax.losses.solution_flow`. As published it is for a first stage, without other terms.
    """
    check_known(form, ("mean", "paper"), f"form={form!r}")
    one = functools.partial(losses.solution_flow, form=form)
    return _between_layers(one, weight, teacher, student_taps, teacher_taps, ("channels", -1))


def singular(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    form: str = "channels",
    teacher: str = "teacher",
) -> Term:
    """KD-SVD: how leading singular vectors relate from layer to layer; the first layers first.

    ``form`` is that of :func:`effjax.losses.singular_transfer`: layers need as many channels, or columns.
    """
    check_known(form, ("channels", "columns"), f"form={form!r}")
    one = functools.partial(losses.singular_transfer, form=form)
    alike = ("channels", -1) if form == "channels" else ("columns", 2)
    return _between_layers(one, weight, teacher, student_taps, teacher_taps, alike)


def _between_layers(
    function: Callable[..., jax.Array],
    weight: Scheduled,
    teacher: str,
    student_taps: Sequence[str],
    teacher_taps: Sequence[str],
    alike: tuple[str, int],
) -> Term:
    """A loss of how layers follow one another; ``alike`` is what student and teacher need as many of, and its axis."""
    check_layers(student_taps, teacher_taps, least=2)

    def loss(inputs: TermInputs):
        pairs = [pair_of(inputs, teacher, own, other) for own, other in zip(student_taps, teacher_taps, strict=True)]
        return function(*zip(*pairs, strict=True))

    def init(key: jax.Array, inputs: TermInputs) -> dict:
        """Draws nothing, and says before the first step what does not fit."""
        what, axis = alike
        for own, other in zip(student_taps, teacher_taps, strict=True):
            student, taught = (x.shape for x in pair_of(inputs, teacher, own, other))
            if len(student) != 4 or len(taught) != 4:
                raise UserError(f"{own!r} and {other!r} must be maps")
            if student[axis] != taught[axis]:
                has = f"{own!r} has {student[axis]} {what}, the teacher's {other!r} {taught[axis]}"
                raise UserError(f"{has}: it compares layers of as many {what}")
        return {}

    return Term(loss, weight, (teacher,), tuple(student_taps), tuple(teacher_taps), init)


def _over_layers(
    function: Callable[..., jax.Array], weight: Scheduled, teacher: str, student_taps, teacher_taps
) -> Term:
    """The sum of a loss over pairs of layers."""
    check_layers(student_taps, teacher_taps)

    def loss(inputs: TermInputs):
        pairs = [pair_of(inputs, teacher, own, other) for own, other in zip(student_taps, teacher_taps, strict=True)]
        return cast(jax.Array, sum(function(own, other) for own, other in pairs))

    return Term(loss, weight, (teacher,), tuple(student_taps), tuple(teacher_taps))


def between_examples(function: Callable[..., jax.Array]) -> Callable[..., Term]:
    """Makes the term of a loss that compares how the examples of a batch lie to each other for student and teacher.

    Args:
      function: ``(student [B, ...], teacher [B, ...], axis_name=) -> [B]``.

    Returns:
      A function from ``weight``, the two taps and the teacher to the term.
    """

    def term(
        *,
        weight: Scheduled = 1.0,
        student_tap: str = "penultimate",
        teacher_tap: str = "penultimate",
        teacher: str = "teacher",
    ) -> Term:
        def loss(inputs: TermInputs):
            return function(*pair_of(inputs, teacher, student_tap, teacher_tap), axis_name=inputs.axis_name)

        return _tapped(loss, weight, teacher, student_tap, teacher_tap)

    return term


def contrastive(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "penultimate",
    teacher_tap: str = "penultimate",
    temperature: float = 0.1,
    teacher: str = "teacher",
) -> Term:
    """Contrastive distillation in the batch; a dense layer brings the student's features to the teacher's width."""

    def loss(inputs: TermInputs):
        student, target = (_flat(x) for x in pair_of(inputs, teacher, student_tap, teacher_tap))
        regressor = make_regressor(student.shape, target.shape, "none")
        if regressor is not None:
            student = cast(jax.Array, regressor.apply({"params": inputs.params}, student))
        return losses.contrastive(student, target, temperature=temperature, axis_name=inputs.axis_name)

    init = _init_regressor("none", flat=True)
    return _tapped(loss, weight, teacher, student_tap, teacher_tap, init)


def _tapped(loss, weight, teacher, student_tap, teacher_tap, init: Callable | None = None) -> Term:
    """A term on one activation of each network; ``init`` still has to be told where they are."""
    check_named(student_tap, teacher_tap)

    def drawn(init, key, inputs):
        return init(key, *pair_of(inputs, teacher, student_tap, teacher_tap))

    own = functools.partial(drawn, init) if init else None
    return Term(loss, weight, (teacher,), (student_tap,), (teacher_tap,), own)


def _init_regressor(nonlinearity: str, *, flat: bool = False, make: Callable = make_regressor) -> Callable:
    def init(key, student, teacher):
        if flat:
            student, teacher = (jax.eval_shape(_flat, x) for x in (student, teacher))
        regressor = make(student.shape, teacher.shape, nonlinearity)
        if regressor is None:
            return {}
        return regressor.init(key, jnp.zeros(student.shape, student.dtype))["params"]

    return init


def pair_of(inputs: TermInputs, teacher: str, student_tap: str, teacher_tap: str) -> tuple[jax.Array, jax.Array]:
    """One activation of the student and one of a teacher, as :func:`tap_of` finds them."""
    return tap_of(inputs.student, student_tap), tap_of(inputs.teachers[teacher], teacher_tap)


def check_named(student_tap: str, teacher_tap: str) -> None:
    """Raises UserError if one of a term's two activations has no name."""
    for name, tap in (("student_tap", student_tap), ("teacher_tap", teacher_tap)):
        if not tap:
            raise UserError(f"{name} is missing: the path of an activation, e.g. 'penultimate'")


def check_layers(student_taps: Sequence[str], teacher_taps: Sequence[str], *, least: int = 1) -> None:
    """Raises UserError if student and teacher do not name as many layers, or fewer than ``least``."""
    if len(student_taps) != len(teacher_taps) or len(student_taps) < least:
        more = f", {least} or more" if least > 1 else ""
        raise UserError(f"student_taps {student_taps} and teacher_taps {teacher_taps} must name as many layers{more}")


def tap_of(outputs: Outputs, tap: str) -> jax.Array:
    """One activation of a network.

    Raises:
      UserError: if the path is not that of one of the activations that were asked for.
    """
    check_known(tap, outputs.taps, f"{tap!r} is not the path of one activation")
    return outputs.taps[tap]


def _flat(x: jax.Array) -> jax.Array:
    return x.reshape(len(x), -1)
