"""Measures of answers to questions that several people have answered."""

import jax
import jax.numpy as jnp

from effjax.typing import Array


def consensus_accuracy(answers: Array, given: Array) -> jax.Array:
    """VQA's accuracy, per example: an answer that three people gave is right, one that fewer gave is in part.

    Of G people, each is left out once, and the answer counts min(1, agreeing / 3) among the others; the mean of that.

    Args:
      answers: the answer to each question, integers ``[N]``.
      given: what people said, integers ``[N, G]``; what has no number of its own is negative, and like no answer.

    Returns:
      ``[N]``, from 0 to 1.

    Raises:
      ValueError: if the shapes do not fit, or fewer than two people answered.

    Example:
      >>> consensus_accuracy(jnp.array([4]), jnp.array([[4, 4, 7, 7, 7, 7, 7, 7, 7, 7]]))  # two of ten agree
      Array([0.6], dtype=float32)

    References:
      Antol et al., `VQA: Visual Question Answering <https://arxiv.org/abs/1505.00468>`_, 2015; the form with one person
      left out is that of `the official evaluation <https://visualqa.org/evaluation.html>`_.
    """
    answers, given = jnp.asarray(answers), jnp.asarray(given)
    if given.ndim != answers.ndim + 1 or given.shape[:-1] != answers.shape or given.shape[-1] < 2:
        raise ValueError(f"answers {answers.shape} and given {given.shape}: allowed: [N] and [N, G], G at least 2")
    agree = (given == answers[..., None]) & (given >= 0)
    others = agree.sum(-1, keepdims=True) - agree  # who agrees among all but one
    return jnp.minimum(others / 3.0, 1.0).mean(-1)
