"""Weights rounded up or down as their layer's outputs want it, not to the nearest (AdaRound)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.quantization.exact import quotient
from effjax.quantization.grids import Grid, limits
from effjax.typing import Array

_LOW, _HIGH = -0.1, 1.1  # γ and ζ: the sigmoid is stretched to them, then cut to 0 and 1
_WEIGHT = 0.01  # λ, of the regulariser
_WARM_UP = 0.2  # the share of the steps without it
_BETA = 20.0, 2.0  # at its beginning and at its end


def rectified_sigmoid(v: Array) -> jax.Array:
    """How far a weight is rounded up: ``clip(1.2 · sigmoid(v) − 0.1, 0, 1)``.

    Args:
      v: of any shape.

    Returns:
      Its shape, from 0 to 1.

    Example:
      >>> rectified_sigmoid(jnp.array([-9.0, 0.0, 9.0]))
      Array([0. , 0.5, 1. ], dtype=float32)

    References:
      Nagel et al., `Up or Down? Adaptive Rounding for Post-Training Quantization
      <https://arxiv.org/abs/2004.10568>`_, 2020, eq. 23.
    """
    return jnp.clip(jax.nn.sigmoid(at_least_float32(jnp.asarray(v))) * (_HIGH - _LOW) + _LOW, 0.0, 1.0)


def rounding_regularizer(v: Array, beta: Array | float) -> jax.Array:
    """``Σ 1 − |2h − 1|^β``, which is 0 where every weight is rounded up or down.

    Args:
      v: of any shape; h is its :func:`rectified_sigmoid`.
      beta: at least 1; the larger it is, the more only those count that are nearly decided.

    Returns:
      ``[]``.

    Example:
      >>> rounding_regularizer(jnp.array([-9.0, 0.0]), 2.0)
      Array(1., dtype=float32)

    References:
      Nagel et al., `Up or Down? <https://arxiv.org/abs/2004.10568>`_, 2020, eq. 24.
    """
    return (1.0 - jnp.abs(2.0 * rectified_sigmoid(v) - 1.0) ** beta).sum()


def initial_rounding(weights: Array, grid: Grid) -> jax.Array:
    """The v under which every weight stays where it is: h(v) is what ``floor`` takes off it.

    Args:
      weights: of any shape.
      grid: theirs.

    Returns:
      Their shape.

    Example:
      >>> grid = Grid(jnp.float32(1.0), jnp.int32(0), bits=4, signed=True)
      >>> rectified_sigmoid(initial_rounding(jnp.array([2.25, -0.5]), grid))
      Array([0.25, 0.5 ], dtype=float32)
    """
    multiples = _multiples(weights, grid)
    rest = multiples - jnp.floor(multiples)
    return -jnp.log((_HIGH - _LOW) / (rest - _LOW) - 1.0)


def adaround_weights(weights: Array, v: Array, grid: Grid, *, is_hard: bool = False) -> jax.Array:
    """Weights rounded down, plus as much of a step as v says.

    Args:
      weights: of any shape.
      v: the same shape, see :func:`rectified_sigmoid`.
      grid: theirs, signed and symmetric.
      is_hard: whether each is on the grid, up where h(v) is a half or more; else there is a gradient to v.

    Returns:
      Their shape.

    Example:
      >>> grid = Grid(jnp.float32(1.0), jnp.int32(0), bits=4, signed=True)
      >>> adaround_weights(jnp.array([2.25, 2.25]), jnp.array([-9.0, 9.0]), grid)
      Array([2., 3.], dtype=float32)

    References:
      Nagel et al., `Up or Down? <https://arxiv.org/abs/2004.10568>`_, 2020, eq. 22.
    """
    up = rectified_sigmoid(v)
    up = (up >= 0.5).astype(up.dtype) if is_hard else up
    return grid.dequantize(jnp.clip(jnp.floor(_multiples(weights, grid)) + up, *limits(grid.bits, grid.signed)))


class _State(NamedTuple):
    v: Any
    moments: optax.OptState


def adaround(
    kernel: Array,
    grid: Grid,
    layer: Callable[[jax.Array, jax.Array], jax.Array],
    inputs: Array,
    outputs: Array,
    *,
    key: jax.Array,
    steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 1e-2,
) -> jax.Array:
    """Rounds a layer's weights so that it puts out, of given inputs, what it should.

    It minimises ‖y − ỹ‖² (summed over the outputs' last axis, averaged over the others) of weights that lie between
    the two neighbours on the grid, while a regulariser drives them to either, by Adam.

    Args:
      kernel: the layer's weights.
      grid: theirs, see :func:`~effjax.quantization.weight_grid`.
      layer: ``(inputs, kernel) -> outputs``: a convolution or a product, its bias and its activation included.
      inputs: ``[N, ...]``, as they are in the quantised network.
      outputs: ``[N, ...]``, as they are in the network as it was trained.
      key: a PRNG key, of the batches.
      steps: of Adam; compiled once, and dispatched one by one: XLA's convolutions are slow in loops on CPU.
      batch_size: examples of a step, drawn with replacement.
      learning_rate: of v.

    Returns:
      The kernel on the grid, each weight at one of its two neighbours.

    Raises:
      UserError: if there are not as many outputs as inputs.

    Example:
      >>> grid = Grid(jnp.float32(1.0), jnp.int32(0), bits=4, signed=True)
      >>> kernel, inputs = jnp.array([[0.4], [0.3]]), jnp.ones((1, 2))  # their sum is what counts: 0.7
      >>> rounded = adaround(kernel, grid, jnp.matmul, inputs, inputs @ kernel, key=jax.random.key(0), steps=200)
      >>> grid.fake_quantize(kernel).sum(), rounded.sum()
      (Array(0., dtype=float32), Array(1., dtype=float32))

    References:
      Nagel et al., `Up or Down? Adaptive Rounding for Post-Training Quantization
      <https://arxiv.org/abs/2004.10568>`_, 2020, eq. 21 and 25.
    """
    kernel, inputs, outputs = (at_least_float32(jnp.asarray(array)) for array in (kernel, inputs, outputs))
    if len(inputs) != len(outputs):
        raise UserError(f"outputs of {len(outputs)} examples: there are inputs of {len(inputs)}")
    adam = optax.adam(learning_rate)

    def loss(v: jax.Array, x: jax.Array, y: jax.Array, step: jax.Array) -> jax.Array:
        error = jnp.square(layer(x, adaround_weights(kernel, v, grid)) - y).sum(-1).mean()
        return error + jnp.where(step < _WARM_UP * steps, 0.0, _WEIGHT) * rounding_regularizer(v, _beta(step / steps))

    @jax.jit
    def train(state: _State, inputs: jax.Array, outputs: jax.Array, key: jax.Array, step: jax.Array) -> _State:
        rows = jax.random.randint(jax.random.fold_in(key, step), (batch_size,), 0, len(inputs))
        gradient = jax.grad(loss)(state.v, inputs[rows], outputs[rows], step)
        updates, moments = adam.update(gradient, state.moments)
        return _State(optax.apply_updates(state.v, updates), moments)

    v = initial_rounding(kernel, grid)
    state = _State(v, adam.init(v))
    for step in range(steps):
        state = train(state, inputs, outputs, key, jnp.int32(step))
    return adaround_weights(kernel, state.v, grid, is_hard=True)


def _beta(progress: jax.Array) -> jax.Array:
    """Half a cosine, after the warm-up."""
    start, end = _BETA
    annealed = jnp.clip((progress - _WARM_UP) / (1.0 - _WARM_UP), 0.0, 1.0)
    return end + 0.5 * (start - end) * (1.0 + jnp.cos(annealed * math.pi))


def _multiples(weights: Array, grid: Grid) -> jax.Array:
    """Weights over their scales."""
    weights = at_least_float32(jnp.asarray(weights))
    along = [1] * weights.ndim
    if grid.axis is not None:
        along[grid.axis] = -1
    return quotient(weights, grid.scale.reshape(along))
