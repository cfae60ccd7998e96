"""Regressors: what brings a student's activation into the shape of a teacher's."""

from collections.abc import Callable

import flax.linen as nn
import jax

from effjax.errors import UserError

NONLINEARITIES: dict[str, Callable[[jax.Array], jax.Array]] = {"relu": nn.relu, "none": lambda x: x}


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
