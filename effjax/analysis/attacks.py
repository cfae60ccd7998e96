"""Images changed so little that a person sees no difference, and so that a network does."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

_OVERSHOOT = 1.25  # the paper walks a quarter further than the ball is wide


def ifgsm(
    logit_fn: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    labels: jax.Array,
    *,
    epsilon: float | jax.Array,
    steps: int = 5,
    low: float | jax.Array = 0.0,
    high: float | jax.Array = 1.0,
) -> jax.Array:
    """The iterated fast gradient sign method: steps up the loss of the labels, within a ball and the images' range.

    The steps are unrolled: where compiling them takes long, compile :func:`fgsm_step` and call it in turn.

    Args:
      logit_fn: from images to logits ``[B, K]``; examples must not mix.
      images: ``[B, H, W, C]``, on the scale that ``logit_fn`` reads.
      labels: integer classes ``[B]`` to lead away from.
      epsilon: the largest change of a pixel, in the images' units: a number, or one a channel.
      steps: how many.
      low: the lowest value that a pixel may have: a number, or one a channel.
      high: the highest.

    Returns:
      ``[B, H, W, C]``, within ``epsilon`` of ``images`` and within ``[low, high]``.

    Raises:
      AssertionError: if the shapes do not fit.

    References:
      Kurakin et al., `Adversarial examples in the physical world <https://arxiv.org/abs/1607.02533>`_, 2017, sec. 2.2.
    """
    attacked = images
    for _ in range(steps):
        attacked = fgsm_step(
            logit_fn, attacked, labels, images, epsilon=epsilon, step_size=step_size(epsilon, steps), low=low, high=high
        )
    return attacked


def step_size(epsilon: float | jax.Array, steps: int) -> float | jax.Array:
    """How far one of several steps goes: together a quarter further than the ball is wide, as the paper's.

    Args:
      epsilon: the largest change of a pixel.
      steps: how many.

    Returns:
      The change of a pixel in one step.
    """
    return _OVERSHOOT * epsilon / steps


def fgsm_step(
    logit_fn: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    labels: jax.Array,
    origin: jax.Array,
    *,
    epsilon: float | jax.Array,
    step_size: float | jax.Array,
    low: float | jax.Array = 0.0,
    high: float | jax.Array = 1.0,
) -> jax.Array:
    """One step of :func:`ifgsm`, from ``images`` on, within ``epsilon`` of ``origin``.

    Args:
      logit_fn: from images to logits ``[B, K]``; examples must not mix.
      images: ``[B, H, W, C]``, where the step starts.
      labels: integer classes ``[B]``.
      origin: the unchanged images, ``[B, H, W, C]``.
      epsilon: the largest change of a pixel.
      step_size: the change of a pixel in this step.
      low: the lowest value of a pixel.
      high: the highest.

    Returns:
      ``[B, H, W, C]``.

    Raises:
      AssertionError: if the shapes do not fit.

    References:
      Goodfellow et al., `Explaining and Harnessing Adversarial Examples <https://arxiv.org/abs/1412.6572>`_, 2015.
    """
    chex.assert_rank([images, labels], [4, 1])
    chex.assert_equal_shape([images, origin])
    chex.assert_equal_shape_prefix([images, labels], 1)

    def loss(images: jax.Array) -> jax.Array:
        log_probs = jax.nn.log_softmax(logit_fn(images).astype(jnp.float32))
        return -jnp.take_along_axis(log_probs, labels[:, None], axis=-1).sum()

    moved = images + step_size * jnp.sign(jax.grad(loss)(images))
    return jnp.clip(jnp.clip(moved, origin - epsilon, origin + epsilon), low, high)
