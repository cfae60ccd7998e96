"""Step sizes that are learnt."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.quantization.exact import quotient
from effjax.quantization.grids import fake_quantize, limits
from effjax.quantization.scales import usable
from effjax.typing import Array

_FURTHEST = 60.0  # of a logarithm: steps from 1e-26 to 1e26, over which and times which float32 stays finite


def initial_step(x: Array, *, bits: int, signed: bool = False, axis: int | None = None) -> jax.Array:
    """Where the training of a step size starts: ``2 · mean|x| / √Q_P``.

    Args:
      x: weights, or activations of a batch.
      bits: of a code.
      signed: whether codes are signed.
      axis: of the channels that have steps of their own.

    Returns:
      ``[]``, or ``[C]`` with an axis; 1 where ``x`` is 0.

    Raises:
      UserError: if there are no codes of so many bits.

    Example:
      >>> initial_step(jnp.array([1.0, -2.0, 3.0]), bits=4, signed=True)  # 4 / √7
      Array(1.5119, dtype=float32)

    References:
      Esser et al., `Learned Step Size Quantization <https://arxiv.org/abs/1902.08153>`_, 2020, sec. 2.1.
    """
    x = at_least_float32(jnp.asarray(x))
    others = None if axis is None else [i for i in range(x.ndim) if i != axis % x.ndim]
    return usable(2.0 * jnp.abs(x).mean(others) / math.sqrt(limits(bits, signed)[1]))


def learned_step(log_step: Array) -> jax.Array:
    """The step size of its logarithm, held between e⁻⁶⁰ and e⁶⁰, where float32 can divide by it.

    Args:
      log_step: of any shape.

    Returns:
      Its shape: the scale of the grid that was learnt.

    Example:
      >>> learned_step(jnp.array([0.0, -1e4]))
      Array([1.0000e+00, 8.7565e-27], dtype=float32)
    """
    return jnp.exp(jnp.clip(at_least_float32(jnp.asarray(log_step)), -_FURTHEST, _FURTHEST))


def lsq_quantize(
    x: Array, log_step: Array, zero_point: Array | int = 0, *, bits: int, signed: bool = False, axis: int | None = None
) -> jax.Array:
    """Fake quantisation whose step size s is learnt, by its logarithm.

    With v = x/s, where codes reach from −Q_N to Q_P: the gradient to x passes inside of the range; that to s is
    rint(v) − v inside, −Q_N below and Q_P above, times 1/√(N · Q_P) for the N numbers that share s. The parameter is
    log s, as Adam cancels that factor: it moves every parameter by its learning rate, which is much for a step of
    0.01 and little for one of 1. So all move by the same share of themselves.

    Args:
      x: weights or activations.
      log_step: ``[]``, or ``[C]`` with an axis; see :func:`initial_step`.
      zero_point: the code of 0, of the same shape; it is not learnt.
      bits: of a code.
      signed: whether codes are signed, see :func:`~effjax.quantization.limits`.
      axis: of the channels that have steps of their own.

    Returns:
      ``x``'s shape, in at least float32: ``fake_quantize`` at the scale :func:`learned_step`, of the same bits.

    Raises:
      UserError: if there are no codes of so many bits, or the steps do not fit the axis.

    Example:
      >>> total = lambda x, log_step: lsq_quantize(x, log_step, bits=2).sum()
      >>> jax.grad(total, (0, 1))(jnp.array([0.75, 9.0]), 0.0)  # (0.25 + 3) / √(2 · 3)
      (Array([1., 0.], dtype=float32), Array(1.3268, dtype=float32))

    References:
      Esser et al., `Learned Step Size Quantization <https://arxiv.org/abs/1902.08153>`_, 2020, sec. 2.
    """
    x = at_least_float32(jnp.asarray(x))
    zero_point = jnp.broadcast_to(jnp.asarray(zero_point, x.dtype), jnp.shape(log_step))
    shape = () if axis is None else (x.shape[axis],)
    if jnp.shape(log_step) != shape:
        raise UserError(f"log_step of shape {jnp.shape(log_step)}: {shape} is needed with axis = {axis} of {x.shape}")
    return _lsq(x, jnp.asarray(log_step), zero_point, bits, signed, None if axis is None else axis % x.ndim)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def _lsq(x: jax.Array, log_step: jax.Array, zero_point: jax.Array, bits: int, signed: bool, axis: int | None):
    return fake_quantize(x, learned_step(log_step), zero_point, bits=bits, signed=signed, axis=axis)


def _forward(
    x: jax.Array, log_step: jax.Array, zero_point: jax.Array, bits: int, signed: bool, axis: int | None
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _lsq(x, log_step, zero_point, bits, signed, axis), (x, log_step, zero_point)


def _backward(bits: int, signed: bool, axis: int | None, saved: Any, gradient: jax.Array):
    x, log_step, zero_point = saved
    along = [1] * x.ndim
    if axis is not None:
        along[axis] = -1
    others = [i for i in range(x.ndim) if i != axis]
    low, high = (limit - zero_point.reshape(along) for limit in limits(bits, signed))  # −Q_N and Q_P
    step = learned_step(log_step)
    v = quotient(x, step.reshape(along))
    inside = (v > low) & (v < high)
    to_step = jnp.where(inside, jnp.rint(v) - v, jnp.where(v <= low, low, high))
    share = x.size // max(log_step.size, 1)
    factor = step / jnp.sqrt(share * jnp.maximum(high, 1.0)).reshape(log_step.shape)  # ∂s/∂(log s) = s
    to_log = (to_step * gradient).sum(others) * factor
    return jnp.where(inside, gradient, 0.0), to_log.astype(log_step.dtype), jnp.zeros_like(zero_point)


_lsq.defvjp(_forward, _backward)
