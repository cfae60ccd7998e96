"""Taking away the mean error that quantisation leaves."""

import jax
import jax.numpy as jnp

from effjax.numerics import at_least_float32
from effjax.typing import Array


def correct_bias(bias: Array, float_mean: Array, quantized_mean: Array) -> jax.Array:
    """The bias under which a quantised layer's outputs have the mean that they had before: ``b + E[y] − E[ỹ]``.

    The means are measured on calibration images, before the activation, layer after layer: those of a later one are of
    a network whose earlier ones are corrected.

    Args:
      bias: ``[C]``, of the quantised layer.
      float_mean: mean of its outputs ``[C]`` in the network as it was trained.
      quantized_mean: the same in the quantised network.

    Returns:
      ``[C]``.

    Example:
      >>> correct_bias(jnp.array([1.0]), jnp.array([0.5]), jnp.array([0.75]))
      Array([0.75], dtype=float32)

    References:
      Nagel et al., `Data-Free Quantization Through Weight Equalization and Bias Correction
      <https://arxiv.org/abs/1906.04721>`_, 2019, sec. 4.2 and appendix D (the empirical form).
    """
    bias, float_mean, quantized_mean = (
        at_least_float32(jnp.asarray(array)) for array in (bias, float_mean, quantized_mean)
    )
    return bias + (float_mean - quantized_mean)
