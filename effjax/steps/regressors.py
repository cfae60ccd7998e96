"""Regressors: what brings a student's activation into the shape of a teacher's."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.errors import UserError

NONLINEARITIES: dict[str, Callable[[jax.Array], jax.Array]] = {"relu": nn.relu, "none": lambda x: x}

#: What PyTorch draws layers from if it is not told, as the published codes have it.
PYTORCHS = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def make_regressor(student: tuple[int, ...], teacher: tuple[int, ...], nonlinearity: str) -> nn.Module | None:
    """Makes the regressor between two activations.

    Between maps it is a convolution without padding, whose kernel takes up the difference in size (s − t + 1) and which
    has the teacher's channels; to a vector it is a dense layer.

    Args:
      student: the shape of the student's activation, ``(B, H, W, C)`` or ``(B, D)``.
      teacher: the shape of the teacher's.
      nonlinearity: a key of ``NONLINEARITIES``: the one that the teacher's activation has gone through.

    Returns:
      A module that maps the one to the other, or None where the shapes are the same.

    Raises:
      UserError: if the student's map is smaller than the teacher's, or a vector is to become a map.

    References:
      Romero et al., `FitNets: Hints for Thin Deep Nets <https://arxiv.org/abs/1412.6550>`_, 2015, sec. 2.2.
    """
    if student == teacher:
        return None
    if len(teacher) == 2:
        return _Regressor(teacher[-1], (), nonlinearity)
    if len(student) == 2 or any(s < t for s, t in zip(student[1:3], teacher[1:3], strict=True)):
        raise UserError(
            f"the student's activation {student[1:]} is smaller than the teacher's {teacher[1:]}: "
            "guide an earlier layer of the student, or by a later one of the teacher"
        )
    kernel = tuple(s - t + 1 for s, t in zip(student[1:3], teacher[1:3], strict=True))
    return _Regressor(teacher[-1], kernel, nonlinearity)


def make_normalized_regressor(
    student: tuple[int, ...], teacher: tuple[int, ...], nonlinearity: str, *, axis_name: str | None = None
) -> nn.Module:
    """Makes RepDistiller's regressor between two maps: a convolution, batch normalisation, a non-linearity.

    It halves by a 3×3 convolution of stride 2, doubles by a transposed one of 4×4, and is otherwise as FitNets': 1×1
    between maps of one size. There is one even where the shapes agree.

    Args:
      student: the shape of the student's activation, ``(B, H, W, C)``.
      teacher: the shape of the teacher's.
      nonlinearity: a key of ``NONLINEARITIES``.
      axis_name: the mapped axis that the batch lies along, which it is normalised over.

    Returns:
      A module that maps the one to the other. It has no running statistics: it answers in training alone.

    Raises:
      UserError: if one is no map, or the student's is smaller than the teacher's and not half as large.

    References:
      `RepDistiller <https://github.com/HobbitLong/RepDistiller>`_, ``models/util.py``, ``ConvReg``.
    """
    if len(student) != 4 or len(teacher) != 4:
        raise UserError(
            f"regressor='repdistiller' is between maps; the student's activation is {student[1:]}, the teacher's "
            f"{teacher[1:]}: name the tap of a map, or take regressor='fitnets'"
        )
    ours, theirs = student[1:3], teacher[1:3]
    if ours == tuple(2 * side for side in theirs):
        return _NormalizedRegressor(teacher[-1], (3, 3), (2, 2), False, nonlinearity, axis_name)
    if theirs == tuple(2 * side for side in ours):
        return _NormalizedRegressor(teacher[-1], (4, 4), (2, 2), True, nonlinearity, axis_name)
    if any(s < t for s, t in zip(ours, theirs, strict=True)):
        raise UserError(
            f"the student's activation {student[1:]} is smaller than the teacher's {teacher[1:]}, and not half as "
            "large: guide an earlier layer of the student, or by a later one of the teacher"
        )
    kernel = tuple(s - t + 1 for s, t in zip(ours, theirs, strict=True))
    return _NormalizedRegressor(teacher[-1], kernel, (1, 1), False, nonlinearity, axis_name)


class BatchScaled(nn.Module):
    """Batch normalisation by the batch at hand alone, with a scale and an offset: for what is never evaluated.

    Attributes:
      axis_name: the mapped axis that the batch lies along.
    """

    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises each channel of ``[B, ..., C]``."""
        axes = tuple(range(x.ndim - 1))
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        mean = self._averaged(x.mean(axes))
        variance = self._averaged(jnp.square(x - mean).mean(axes))
        return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + bias

    def _averaged(self, x: jax.Array) -> jax.Array:
        return x if self.axis_name is None else jax.lax.pmean(x, self.axis_name)


class _NormalizedRegressor(nn.Module):
    """A convolution, or a transposed one, without a bias; normalised."""

    features: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    transposed: bool
    nonlinearity: str
    axis_name: str | None

    @nn.compact
    def __call__(self, activation: jax.Array) -> jax.Array:
        options = {"strides": self.strides, "use_bias": False, "kernel_init": PYTORCHS, "name": "regressor"}
        if self.transposed:
            y = nn.ConvTranspose(self.features, self.kernel, padding=((2, 2), (2, 2)), **options)(activation)
        else:
            pad = 1 if self.strides == (2, 2) else 0
            y = nn.Conv(self.features, self.kernel, padding=pad, **options)(activation)
        return NONLINEARITIES[self.nonlinearity](BatchScaled(self.axis_name, name="norm")(y))


class _Regressor(nn.Module):
    """A convolution without padding, or with an empty kernel a dense layer on the flattened activation."""

    features: int
    kernel: tuple[int, ...]
    nonlinearity: str

    @nn.compact
    def __call__(self, activation: jax.Array) -> jax.Array:
        init = nn.initializers.he_normal() if self.nonlinearity == "relu" else nn.initializers.lecun_normal()
        if self.kernel:
            y = nn.Conv(self.features, self.kernel, padding="VALID", kernel_init=init, name="regressor")(activation)
        else:
            flat = activation.reshape(len(activation), -1)
            y = nn.Dense(self.features, kernel_init=init, name="regressor")(flat)
        return NONLINEARITIES[self.nonlinearity](y)
