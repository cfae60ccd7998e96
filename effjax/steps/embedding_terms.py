"""Terms between embeddings that are learnt with them: projected and normalised, or with variances of their own."""

from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.steps.feature_terms import pair_of
from effjax.steps.regressors import PYTORCHS, BatchScaled
from effjax.steps.term import Term, TermInputs
from effjax.typing import PyTree

Scheduled = float | optax.Schedule


def projected(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "penultimate",
    teacher_tap: str = "penultimate",
    power: float = 4.0,
    teacher: str = "teacher",
) -> Term:
    """SRD: the student's features, projected, against the teacher's; both normalised by the batch. One for the batch.

    ``power`` is that of :func:`effjax.losses.log_distance`. Maps are averaged over their places.
    """
    if not power > 1:
        raise UserError(f"power={power!r} must be above 1")

    def loss(inputs: TermInputs):
        student, taught = (_features(x) for x in pair_of(inputs, teacher, student_tap, teacher_tap))
        own = _projector(taught).apply({"params": inputs.params["projector"]}, student)
        both = (_standardized(x, inputs.axis_name) for x in (cast(jax.Array, own), jax.lax.stop_gradient(taught)))
        return losses.log_distance(*both, power=power, axis_name=inputs.axis_name)

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        student, taught = pair_of(inputs, teacher, student_tap, teacher_tap)
        return {"projector": _projector(taught).init(key, jnp.zeros((1, student.shape[-1])))["params"]}

    return Term(loss, weight, (teacher,), (student_tap,), (teacher_tap,), init)


def prime_aware(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "penultimate",
    teacher_tap: str = "penultimate",
    teacher: str = "teacher",
) -> Term:
    """PAD: squared distance to the teacher's features, over variances that are told from the student's.

    A dense layer brings features of another width to the teacher's. Maps are averaged over their places. As published
    there is a stage before it in which variances are 1.
    """

    def loss(inputs: TermInputs):
        student, taught = (_features(x) for x in pair_of(inputs, teacher, student_tap, teacher_tap))
        own, spread = _estimator(taught, inputs.axis_name).apply({"params": inputs.params}, student)
        return losses.adaptive_distance(cast(jax.Array, own), taught, cast(jax.Array, spread))

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        student, taught = pair_of(inputs, teacher, student_tap, teacher_tap)
        return _estimator(taught, None).init(key, jnp.zeros((1, student.shape[-1])))["params"]

    return Term(loss, weight, (teacher,), (student_tap,), (teacher_tap,), init)


class _Estimator(nn.Module):
    """A student's features in the teacher's width, and the logarithms of their variances."""

    width: int
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        if x.shape[-1] != self.width:
            x = nn.Dense(self.width, kernel_init=PYTORCHS, name="projector")(x)
        spread = nn.Dense(self.width, use_bias=False, kernel_init=PYTORCHS, name="log_variance")(x)
        return x, BatchScaled(self.axis_name, name="norm")(spread)


def _estimator(taught: jax.Array, axis_name: str | None) -> _Estimator:
    return _Estimator(taught.shape[-1], axis_name)


def _projector(taught: jax.Array) -> nn.Dense:
    return nn.Dense(taught.shape[-1], kernel_init=PYTORCHS)


def _features(x: jax.Array) -> jax.Array:
    return x.mean((1, 2)) if x.ndim == 4 else x


def _standardized(x: jax.Array, axis_name: str | None) -> jax.Array:
    """Without its mean and scale over the batch, ``[B, D]``."""

    def averaged(x: jax.Array) -> jax.Array:
        return x.mean(0) if axis_name is None else jax.lax.pmean(x.mean(0), axis_name)

    centred = at_least_float32(x) - averaged(at_least_float32(x))
    return centred * jax.lax.rsqrt(averaged(jnp.square(centred)) + 1e-4)
