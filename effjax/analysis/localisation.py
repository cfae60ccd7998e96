"""Where in an image a network finds its evidence."""

import chex
import jax
import jax.numpy as jnp


def grad_cam(activation: jax.Array, gradient: jax.Array) -> jax.Array:
    """The Grad-CAM map: channels weighted by their mean gradients, summed, negative evidence cut off.

    Args:
      activation: of a convolutional layer, ``[B, H, W, C]``.
      gradient: of a class's logit with respect to it, of the same shape; see :func:`value_and_inner_grad`.

    Returns:
      ``[B, H, W]``, at least 0, on no particular scale.

    Raises:
      AssertionError: if the shapes do not fit.

    References:
      Selvaraju et al., `Grad-CAM <https://arxiv.org/abs/1610.02391>`_, 2017, eq. 1 and 2.
    """
    chex.assert_rank([activation, gradient], 4)
    chex.assert_equal_shape([activation, gradient])
    activation, gradient = (jnp.asarray(x, jnp.float32) for x in (activation, gradient))
    weights = gradient.mean((1, 2), keepdims=True)
    return jax.nn.relu((weights * activation).sum(-1))


def gradient_times_input(images: jax.Array, gradient: jax.Array) -> jax.Array:
    """What each pixel adds to a logit, to first order: a map for networks without convolutional layers.

    Args:
      images: ``[B, H, W, C]``, 0 where a pixel is to count as absent.
      gradient: of a class's logit with respect to them, of the same shape.

    Returns:
      ``[B, H, W]``, at least 0.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> image, gradient = jnp.array([[[[1.0], [2.0]]]]), jnp.array([[[[3.0], [-1.0]]]])
      >>> gradient_times_input(image, gradient)  # evidence against is left out
      Array([[[3., 0.]]], dtype=float32)

    References:
      Shrikumar et al., `Not Just a Black Box <https://arxiv.org/abs/1605.01713>`_, 2016, sec. 3.2.
    """
    chex.assert_rank([images, gradient], 4)
    chex.assert_equal_shape([images, gradient])
    return jax.nn.relu((jnp.asarray(images, jnp.float32) * gradient).sum(-1))


def map_similarity(a: jax.Array, b: jax.Array) -> jax.Array:
    """The cosine between two maps of each image; the coarser map is first resized to the finer, bilinearly.

    Args:
      a: ``[B, H, W]``.
      b: ``[B, H', W']``.

    Returns:
      ``[B]`` in ``[-1, 1]``, for maps without negative values in ``[0, 1]``; 0 where a map is zero everywhere, which
      is not like any other.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> map_similarity(jnp.eye(2)[None], jnp.ones((1, 2, 2)))  # 2 / (√2 · 2)
      Array([0.7071], dtype=float32)

    References:
      Ojha et al., `What Knowledge Gets Distilled in Knowledge Distillation?
      <https://arxiv.org/abs/2205.16004>`_, 2023, sec. 4.1.
    """
    chex.assert_rank([a, b], 3)
    chex.assert_equal_shape_prefix([a, b], 1)
    size = tuple(max(sides) for sides in zip(a.shape[1:], b.shape[1:], strict=True))
    a, b = (_unit(jax.image.resize(x, (len(x), *size), "bilinear")) for x in (a, b))
    return (a * b).sum((1, 2))


def _unit(maps: jax.Array) -> jax.Array:
    maps = jnp.asarray(maps, jnp.float32)
    largest = jnp.abs(maps).max((1, 2), keepdims=True)  # so that squares neither under- nor overflow
    maps = maps / jnp.where(largest > 0, largest, 1.0)
    squared = jnp.square(maps).sum((1, 2), keepdims=True)
    return maps / jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
