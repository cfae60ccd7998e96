"""What training sees of each example on its way, kept beside the parameters: no pass over the data is added for it."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

Records = Mapping[str, jax.Array]


def init_records(num_ids: int, *, forgetting: bool = False) -> dict[str, jax.Array]:
    """Records of examples with global ids below ``num_ids``, of which none has been seen.

    Args:
      num_ids: how many ids there are.
      forgetting: whether it is counted how often each example is forgotten, too.

    Returns:
      ``seen`` (how often), ``right`` (how often correctly classified), ``prob`` and ``prob_squared`` (sums of the
      probability of the label and of its square), ``wrong_at`` (the last step, counted from 1, at which the example was
      seen and wrong; 0 if never), each ``[num_ids]``. Where forgetting is counted, ``forgotten`` (how often it was
      wrong and had been right when seen before) and ``was_right`` (1 if it was right when last seen).
    """
    counts = {name: jnp.zeros(num_ids, jnp.int32) for name in ("seen", "right", "wrong_at")}
    if forgetting:
        counts |= {name: jnp.zeros(num_ids, jnp.int32) for name in ("forgotten", "was_right")}
    return {**counts, "prob": jnp.zeros(num_ids), "prob_squared": jnp.zeros(num_ids)}


def update_records(
    records: Records, ids: jax.Array, prob: jax.Array, right: jax.Array, step: jax.Array
) -> dict[str, jax.Array]:
    """Notes a batch.

    Args:
      records: so far.
      ids: ``[B]`` global ids; one may occur twice.
      prob: ``[B]`` the probability that the network gave the label.
      right: ``[B]`` whether the label was its choice.
      step: of the run, ``[]``.
    """
    prob = prob.astype(jnp.float32)
    new = {
        "seen": records["seen"].at[ids].add(1),
        "right": records["right"].at[ids].add(right.astype(jnp.int32)),
        "prob": records["prob"].at[ids].add(prob),
        "prob_squared": records["prob_squared"].at[ids].add(prob**2),
        "wrong_at": records["wrong_at"].at[ids].max(jnp.where(right, 0, step + 1).astype(jnp.int32)),
    }
    if "forgotten" not in records:
        return new
    was_right = records["was_right"]
    new["forgotten"] = records["forgotten"].at[ids].add(jnp.where(right, 0, was_right[ids]))
    # Of an example that is there twice, both must be right: the result then does not depend on which is written last.
    new["was_right"] = was_right.at[ids].set(1).at[ids].min(right.astype(jnp.int32))
    return new
