"""A model's first variables."""

import flax.linen as nn
import jax
import jax.core
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
    images = jnp.zeros((1, *image_shape))
    if isinstance(key, jax.core.Tracer) or jax.default_backend() != "cpu":
        return jax.jit(module.init)(key, images)
    # Compiling the drawing of numbers well would take seconds, to save milliseconds once.
    return jax.jit(module.init, compiler_options={"xla_backend_optimization_level": 0})(key, images)
