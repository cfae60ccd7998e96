"""Each example's own teacher embedding, told from those of the others."""

import chex
import jax
import jax.numpy as jnp

from effjax.losses.batches import gather, kept, vectors
from effjax.losses.masking import masked
from effjax.numerics import EXACT, unit


def contrastive(
    student: jax.Array,
    teacher: jax.Array,
    *,
    temperature: float | jax.Array = 0.1,
    where: jax.Array | None = None,
    axis_name: str | None = None,
) -> jax.Array:
    """``−log softmax over j of cos(student_i, teacher_j) / T``, at j = i, per example (InfoNCE).

    The student's embedding is the query, the batch's teacher embeddings are the candidates: the direction that makes
    the student say what the teacher says. CRD itself is another loss: a binary one for each of many negatives, drawn
    from a memory of (examples in the data set) × D numbers, in both directions. Here the batch is the memory, so larger
    batches are harder, and weights tuned for CRD need not fit. No gradient flows to the teacher.

    Args:
      student: embeddings ``[B, D]``, of any length.
      teacher: embeddings ``[B, D]``, of any length.
      temperature: a positive scalar T (may be traced), the softer the larger. Not the T of soft targets.
      where: ``[B]`` booleans; examples where it is false give 0 and are no candidates.
      axis_name: the mapped axis over which the batch is spread; the candidates are those of all its devices.

    Returns:
      The loss in nats, ``[B]``.

    Raises:
      AssertionError: if the shapes do not fit.

    Example:
      >>> contrastive(jnp.eye(2), jnp.eye(2), temperature=1.0)  # log(e + 1) − 1
      Array([0.3133, 0.3133], dtype=float32)

    References:
      Tian et al., `Contrastive Representation Distillation <https://arxiv.org/abs/1910.10699>`_, 2020;
      van den Oord et al., `Representation Learning with Contrastive Predictive Coding
      <https://arxiv.org/abs/1807.03748>`_, 2018, eq. 4.
    """
    chex.assert_rank([student, teacher], 2)
    chex.assert_equal_shape([student, teacher])
    queries = unit(vectors(jnp.asarray(student), where))
    own = unit(vectors(jax.lax.stop_gradient(jnp.asarray(teacher)), where))
    is_candidate = gather(kept(where, len(student)), axis_name)
    scores = jnp.matmul(queries, gather(own, axis_name).T, precision=EXACT) / temperature
    # A left-out query is no candidate's: it is given all of them, so that its sum is not empty.
    reach = is_candidate[None, :] | ~kept(where, len(student))[:, None]
    everything = jax.nn.logsumexp(scores, axis=-1, where=reach)
    return masked(everything - (queries * own).sum(-1) / temperature, where)
