"""Terms between maps of one layer or several, where connectors bring the student's into the teacher's shape."""

from collections.abc import Callable, Sequence
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError
from effjax.losses.pooling import averaged
from effjax.numerics import at_least_float32
from effjax.steps.feature_terms import check_layers, check_named, pair_of
from effjax.steps.regressors import BatchScaled, make_normalized_regressor
from effjax.steps.term import Term, TermInputs
from effjax.typing import PyTree

Scheduled = float | optax.Schedule


def boundaries(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    margin: float = 1.0,
    teacher: str = "teacher",
) -> Term:
    """AB: on which side of 0 the teacher's units are before their ReLU, at several layers; the first ones first.

    The last layer counts as it is, each before it half of the next. RepDistiller's normalised regressors connect maps
    of other shapes. As published it is for a first stage, without other terms.
    """
    if not margin > 0:
        raise UserError(f"margin={margin!r} must be above 0")

    def one(student: jax.Array, taught: jax.Array, axis_name: str | None) -> jax.Array:
        return losses.activation_boundary(student, taught, margin=margin)

    return _connected(one, _regressor, weight, teacher, student_taps, teacher_taps)


def overhaul(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    teacher: str = "teacher",
) -> Term:
    """OFD: the teacher's maps before their ReLU, behind a margin; the first layers first.

    The last layer counts as it is, each before it half of the next. Normalised 1×1 convolutions connect; the larger of
    two maps is averaged. A channel's margin is the mean of what is below 0, on the batch at hand.
    """

    def one(student: jax.Array, taught: jax.Array, axis_name: str | None) -> jax.Array:
        student, taught = at_least_float32(student), at_least_float32(jax.lax.stop_gradient(taught))
        least = losses.expected_negative(taught, axis_name=axis_name)
        height, width = (min(student.shape[axis], taught.shape[axis]) for axis in (1, 2))
        return losses.partial_l2(averaged(student, height, width), averaged(taught, height, width), least)

    return _connected(one, _connector, weight, teacher, student_taps, teacher_taps)


def channels(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "",
    teacher_tap: str = "",
    teacher: str = "teacher",
) -> Term:
    """ICKD: how the teacher's channels correlate; a normalised 1×1 convolution brings the student's to as many."""
    check_named(student_tap, teacher_tap)

    def one(student: jax.Array, taught: jax.Array, axis_name: str | None) -> jax.Array:
        return losses.channel_correlation(student, taught)

    return _connected(one, _connector, weight, teacher, (student_tap,), (teacher_tap,))


Shape = tuple[int, ...]
#: Makes what connects two maps, from their shapes and the mapped axis that the batch lies along; None: they fit.
MakeConnector = Callable[[Shape, Shape, str | None], nn.Module | None]


def _regressor(student: Shape, teacher: Shape, axis_name: str | None) -> nn.Module | None:
    if student[1:] == teacher[1:]:
        return None
    return make_normalized_regressor(student, teacher, "none", axis_name=axis_name)


def _connector(student: Shape, teacher: Shape, axis_name: str | None) -> nn.Module:
    return _Connector(teacher[-1], axis_name)


class _Connector(nn.Module):
    """A normalised 1×1 convolution."""

    channels: int
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
        y = nn.Conv(self.channels, (1, 1), use_bias=False, kernel_init=init, name="conv")(x)
        return BatchScaled(self.axis_name, name="norm")(y)


def _connected(
    loss_of_layer: Callable[[jax.Array, jax.Array, str | None], jax.Array],
    make: MakeConnector,
    weight: Scheduled,
    teacher: str,
    student_taps: Sequence[str],
    teacher_taps: Sequence[str],
) -> Term:
    """The sum over layers of a loss of connected maps; what a layer counts for doubles from each to the next."""
    check_layers(student_taps, teacher_taps)
    names = [f"layer{number}" for number in range(1, len(student_taps) + 1)]

    def maps(inputs: TermInputs) -> dict[str, tuple[jax.Array, jax.Array]]:
        taps = zip(student_taps, teacher_taps, strict=True)
        found = [pair_of(inputs, teacher, own, other) for own, other in taps]
        for (student, taught), own, other in zip(found, student_taps, teacher_taps, strict=True):
            if len(student.shape) != 4 or len(taught.shape) != 4:
                raise UserError(f"{own!r} and {other!r} must be maps")
        return dict(zip(names, found, strict=True))

    def loss(inputs: TermInputs):
        total = 0.0
        for number, (name, (student, taught)) in enumerate(maps(inputs).items()):
            module = make(student.shape, taught.shape, inputs.axis_name)
            if module is not None:
                student = cast(jax.Array, module.apply({"params": inputs.params[name]}, student))
            total += loss_of_layer(student, taught, inputs.axis_name) / 2 ** (len(names) - 1 - number)
        return cast(jax.Array, total)

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        drawn = {}
        for number, (name, (student, taught)) in enumerate(maps(inputs).items()):
            module = make(student.shape, taught.shape, None)
            if module is not None:
                own = jax.random.fold_in(key, number)
                drawn[name] = module.init(own, jnp.zeros(student.shape, student.dtype))["params"]
        return drawn

    return Term(loss, weight, (teacher,), tuple(student_taps), tuple(teacher_taps), init)
