"""Batch normalisation, folded into the layer before it."""

import jax
import jax.numpy as jnp

from effjax.errors import UserError
from effjax.numerics import at_least_float32
from effjax.quantization.exact import quotient
from effjax.typing import Array


def fold_batch_norm(
    kernel: Array,
    bias: Array | None,
    scale: Array,
    offset: Array,
    mean: Array,
    variance: Array,
    epsilon: float,
) -> tuple[jax.Array, jax.Array]:
    """The layer that answers as the given one with batch normalisation after it: ``W · f`` and ``β + (b − μ) · f``.

    f is γ/√(σ² + ε), for each output channel.

    Args:
      kernel: of a convolution ``[h, w, I, C]``, a depthwise one ``[h, w, 1, C]`` or a dense layer ``[I, C]``.
      bias: ``[C]``; None for none.
      scale: γ ``[C]``.
      offset: β ``[C]``.
      mean: μ ``[C]``, as evaluation uses it.
      variance: σ² ``[C]``.
      epsilon: ε.

    Returns:
      The kernel and a bias, in at least float32.

    Raises:
      UserError: if what is given of the channels has not the shape ``[C]``.

    Example:
      >>> fold_batch_norm(jnp.ones((1, 1)), None, *(jnp.array([v]) for v in (3.0, 1.0, 2.0, 4.0)), epsilon=0.0)
      (Array([[1.5]], dtype=float32), Array([-2.], dtype=float32))

    References:
      Jacob et al., `Quantization and Training of Neural Networks <https://arxiv.org/abs/1712.05877>`_, 2018, eq. 14.
    """
    kernel = at_least_float32(jnp.asarray(kernel))
    channels = kernel.shape[-1:]
    given = {"bias": jnp.zeros(channels) if bias is None else bias}
    given |= {"scale": scale, "offset": offset, "mean": mean, "variance": variance}
    for name, array in given.items():
        if jnp.shape(array) != channels:
            raise UserError(f"{name} of shape {jnp.shape(array)}: the kernel's {kernel.shape} needs {channels}")
    bias, scale, offset, mean, variance = (at_least_float32(jnp.asarray(array)) for array in given.values())
    factor = quotient(scale, jnp.sqrt(variance + epsilon))
    return kernel * factor, offset + (bias - mean) * factor
