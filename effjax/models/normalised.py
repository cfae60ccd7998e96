"""Batch normalisation, the shortcut that is added to it and the activation that follows, as one operation."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.loops import added, mapped

Activation = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Parts:
    """Equal parts of a batch, one after the other, each normalised by its own statistics.

    What several devices do that each normalise their own examples, where one program sees the batch of all of them:
    no statistics travel between devices. Running statistics are the mean of the parts'.

    Attributes:
      number: of parts; a batch that it does not divide, as one of which only shapes are asked for, is one part.
    """

    number: int

    def cut(self, x: jax.Array) -> jax.Array:
        """A batch ``[B, ...]`` as ``[parts, B / parts, ...]``."""
        number = self.number if x.shape[0] % self.number == 0 else 1
        return x.reshape(number, -1, *x.shape[1:])


#: Over what a batch's statistics are averaged: a mapped axis, each of these parts alone, or all that is there.
Across = str | Parts | None


class BatchNorm(nn.BatchNorm):
    """Flax's, which may add a shortcut and apply an activation.

    Equal to it but for rounding. In training it has a derivative of its own, whose passes over the batch are loops on
    CPU (:mod:`effjax.models.loops`) and a few fused passes elsewhere.

    Attributes:
      axis_name: a mapped axis over which the batch's statistics are averaged, or the parts that have their own.
      activation: applied at the end, element by element, or None.
    """

    axis_name: Across = None  # pyright: ignore[reportIncompatibleVariableOverride]
    activation: Activation | None = None

    @nn.compact
    def __call__(self, x: jax.Array, shortcut: jax.Array | None = None) -> jax.Array:
        """Normalises ``[..., C]``, adds the shortcut of the same shape, and applies the activation."""
        if self.use_running_average:
            return _finished(super().__call__(x), shortcut, self.activation)
        size = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, size, jnp.float32)
        variance = self.variable("batch_stats", "var", jnp.ones, size, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, size, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, size, jnp.float32)
        axis = None if self.is_initializing() else self.axis_name
        dtype = x.dtype if self.dtype is None else self.dtype
        if isinstance(axis, Parts):
            y, of_batch = _in_parts(axis, x, scale, bias, shortcut, self.activation, self.epsilon, dtype)
        else:
            given = (self.activation, self.epsilon, axis, dtype)
            y, of_batch = batch_normalised(x, scale, bias, shortcut, *given)  # pyright: ignore[reportGeneralTypeIssues]
        if not self.is_initializing():
            for running, new in zip((mean, variance), of_batch, strict=True):
                running.value = self.momentum * running.value + (1 - self.momentum) * jax.lax.stop_gradient(new)
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def batch_normalised(
    x: jax.Array,
    scale: jax.Array,
    bias: jax.Array,
    shortcut: jax.Array | None,
    activation: Activation | None,
    epsilon: float,
    axis_name: str | None,
    dtype: DTypeLike,
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """Activation of (x normalised by its own statistics, scaled and shifted, plus the shortcut).

    Args:
      x: ``[..., C]``.
      scale: ``[C]`` float32.
      bias: ``[C]`` float32.
      shortcut: of the shape of ``x``, or None.
      activation: element by element, or None.
      epsilon: added to the variance.
      axis_name: a mapped axis over which the statistics are averaged, or None.
      dtype: of the result.

    Returns:
      The result, and mean and variance ``[C]``, through which no gradient goes.
    """
    return _forward(x, scale, bias, shortcut, activation, epsilon, axis_name, dtype)[0]


def _forward(x, scale, bias, shortcut, activation, epsilon, axis_name, dtype):
    count = x.size // x.shape[-1]
    sums = added(lambda x: (_float32(x), jnp.square(_float32(x))), (x,))
    mean, squares = _averaged([one / count for one in sums], axis_name)
    variance = jnp.maximum(squares - jnp.square(mean), 0.0)
    inverse = jax.lax.rsqrt(variance + epsilon)

    def result(x, *rest):
        shortcut = rest[0] if rest else None
        return (_finished(_affine(x, mean, inverse * scale, bias, dtype), shortcut, activation),)

    (y,) = mapped(result, (x,) if shortcut is None else (x, shortcut))
    return (y, (mean, variance)), (x, scale, bias, shortcut, mean, inverse)


def _backward(activation, epsilon, axis_name, dtype, saved, gradients):
    x, scale, bias, shortcut, mean, inverse = saved
    gradient, _ = gradients  # of the statistics none is taken
    count = x.size // x.shape[-1]
    given = (x, gradient) if shortcut is None else (x, gradient, shortcut)

    def before(x, gradient, *rest):
        """The gradient before the activation; computing what is activated again costs less than keeping it."""
        if activation is None:
            return gradient
        affine = _affine(x, mean, inverse * scale, bias, dtype)
        return jax.vjp(activation, affine if not rest else rest[0] + affine)[1](gradient)[0]

    def parts(x, gradient, *rest):
        of = _float32(before(x, gradient, *rest))
        return of, of * ((_float32(x) - mean) * inverse)

    of_bias, of_scale = added(parts, given)
    shift, slope = _averaged([of_bias / count, of_scale / count], axis_name)

    def of_inputs(x, gradient, *rest):
        of = before(x, gradient, *rest)
        normalised = (_float32(x) - mean) * inverse
        of_x = ((_float32(of) - shift - normalised * slope) * (inverse * scale)).astype(x.dtype)
        return (of_x, of) if rest else (of_x,)

    found = mapped(of_inputs, given)
    return found[0], of_scale, of_bias, found[1] if shortcut is not None else None


batch_normalised.defvjp(_forward, _backward)


def _in_parts(parts, x, scale, bias, shortcut, activation, epsilon, dtype):
    def of_part(x, shortcut):
        return batch_normalised(x, scale, bias, shortcut, activation, epsilon, None, dtype)

    cut = parts.cut(x), None if shortcut is None else parts.cut(shortcut)
    y, statistics = jax.vmap(of_part)(*cut)  # pyright: ignore[reportGeneralTypeIssues]
    return y.reshape(x.shape), jax.tree.map(lambda array: array.mean(0), statistics)


def _float32(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _affine(x, mean, factor, bias, dtype):
    return ((_float32(x) - mean) * factor + bias).astype(dtype)


def _finished(y: jax.Array, shortcut: jax.Array | None, activation: Activation | None) -> jax.Array:
    y = y if shortcut is None else shortcut + y
    return y if activation is None else activation(y)


def _averaged(sums: Sequence[jax.Array], axis_name: str | None) -> list[jax.Array]:
    """Over the devices, in one message."""
    return list(sums) if axis_name is None else list(jax.lax.pmean(jnp.stack(sums), axis_name))
