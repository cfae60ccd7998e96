"""A model's first variables."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def init(module: nn.Module, key: jax.Array, image_shape: tuple[int, int, int]) -> dict:
    """Draws a model's parameters, and makes its batch statistics if it has some.

    Several times faster than ``module.init``, which runs the forward pass too and compiles it operation by operation.

    Args:
      module: a model that ``create`` made.
      key: a typed PRNG key; equal keys give equal variables.
      image_shape: ``(H, W, C)``.

    Returns:
      ``{"params": …}``, with ``"batch_stats"`` where there is batch normalisation.
    """
    # Compiling the drawing of numbers well would take seconds, to save milliseconds once.
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(module.init, compiler_options=options)(key, jnp.zeros((1, *image_shape)))
