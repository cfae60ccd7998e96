"""How a sparsity of the whole is divided among layers: what share of its weights each keeps.

A layer that is to stay dense (the first one often is) is not among the shapes.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError

Shapes = Mapping[str, Sequence[int]]


def uniform(shapes: Shapes, sparsity: jax.Array | float) -> dict[str, jax.Array]:
    """Every layer keeps the same share of its weights.

    Args:
      shapes: of the kernels, by any name.
      sparsity: the share of weights that are 0, from 0 to 1; may be traced, then what lies outside is cut.

    Returns:
      The share that is kept, ``[]`` float32, of each.

    Raises:
      UserError: if the sparsity is none.

    Example:
      >>> uniform({"conv": (3, 3, 16, 16), "dense": (64, 10)}, 0.75)
      {'conv': Array(0.25, dtype=float32), 'dense': Array(0.25, dtype=float32)}
    """
    density = kept_share(sparsity)
    return dict.fromkeys(shapes, density)


def erk(shapes: Shapes, sparsity: jax.Array | float) -> dict[str, jax.Array]:
    """Erdős–Rényi kernels: the larger a layer, the smaller the share of its weights that it keeps.

    The share is ε (n_in + n_out + k_h + k_w) / (n_in · n_out · k_h · k_w), of a dense layer ε (n_in + n_out) /
    (n_in · n_out): the sum of a kernel's axes over their product. ε is such that all layers together have the sparsity.
    Where a share is above 1, the layer stays dense and ε is found anew for the others.

    Args:
      shapes: of the kernels, ``(k_h, k_w, n_in, n_out)`` or ``(n_in, n_out)``, by any name.
      sparsity: the share of all their weights that are 0, from 0 to 1; may be traced, then what lies outside is cut.

    Returns:
      The share that is kept, ``[]`` float32, of each.

    Raises:
      UserError: if the sparsity is none.

    Example:
      >>> erk({"small": (2, 2), "large": (4, 4)}, 0.25)  # ε and ε/2; 4ε + 8ε = 15 would be 1.25; so 4 + 8ε = 15
      {'small': Array(1., dtype=float32), 'large': Array(0.6875, dtype=float32)}

    References:
      Evci et al., `Rigging the Lottery: Making All Tickets Winners <https://arxiv.org/abs/1911.11134>`_, 2020, sec. 3;
      `its code <https://github.com/google-research/rigl>`_, ``sparse_utils.py``.
    """
    density = kept_share(sparsity)
    if not shapes:
        return {}
    sizes = np.array([math.prod(shape) for shape in shapes.values()], np.float64)
    raw = np.array([sum(shape) for shape in shapes.values()]) / sizes
    order = np.argsort(-raw, kind="stable")  # the first to become dense comes first
    sizes, raw = sizes[order], raw[order]
    # Row k says what is so if k layers are dense: the share of all weights that those have, and what each of the others
    # keeps for every share of all weights that is left to them.
    dense = ((np.cumsum(sizes) - sizes) / sizes.sum()).astype(np.float32)
    others = np.cumsum((raw * sizes)[::-1])[::-1]
    each = (raw * sizes.sum() / others[:, None]).astype(np.float32)
    is_dense = np.tri(len(raw), k=-1, dtype=bool)
    shares = jnp.where(is_dense, 1.0, jnp.maximum(density - dense[:, None], 0.0) * each)
    fits = (shares <= 1.0).all(1)
    found = jnp.where(fits.any() & (density < 1.0), shares[jnp.argmax(fits)], 1.0)  # as few dense ones as it takes
    return dict(zip(shapes, found[np.argsort(order)], strict=True))


def kept_share(sparsity: jax.Array | float) -> jax.Array:
    """One less the sparsity, ``[]`` float32.

    Raises:
      UserError: as :func:`check_sparsity` does.
    """
    check_sparsity(sparsity)
    return 1.0 - jnp.clip(jnp.asarray(sparsity, jnp.float32), 0.0, 1.0)


def check_sparsity(sparsity: jax.Array | float) -> None:
    """Refuses a sparsity that is no share, where it is there to be looked at: inside jit it is not.

    Raises:
      UserError: naming it.
    """
    if not isinstance(sparsity, jax.core.Tracer) and not 0 <= float(sparsity) <= 1:
        raise UserError(f"sparsity={float(sparsity):g} must be a share of the weights, from 0 to 1")
