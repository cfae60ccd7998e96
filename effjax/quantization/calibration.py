"""Ranges of activations. One more calibration is one function and one line in ``CALIBRATIONS``."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy

from effjax.errors import check_known
from effjax.quantization.grids import Grid
from effjax.quantization.histogram import Histogram
from effjax.quantization.scales import activation_grid

#: From what was seen and the bits of a code to the lowest and the highest value of the range.
Calibration = Callable[[Histogram, int], tuple[jax.Array, jax.Array]]

_SHARES = np.arange(8, 129, dtype=np.float32) / 128  # of the full range, from 1/16 on: those that are tried
_MISSING = 1e-6  # the probability of what a quantised distribution leaves out, so that its logarithm is finite


def minmax(histogram: Histogram, bits: int) -> tuple[jax.Array, jax.Array]:
    """All that was seen.

    Args:
      histogram: of the values.
      bits: of a code; of no matter here.

    Returns:
      The lowest and the highest value.

    Example:
      >>> minmax(Histogram.empty().update(jnp.array([-1.0, 3.0])), 8)
      (Array(-1., dtype=float32), Array(3., dtype=float32))
    """
    del bits
    return histogram.low, histogram.high


def percentile(histogram: Histogram, bits: int, *, percent: float = 99.99) -> tuple[jax.Array, jax.Array]:
    """The range of so many percent of the values: half of the others lie below it, half above.

    Args:
      histogram: of the values.
      bits: of a code; of no matter here.
      percent: of the values that are inside; at least so many.

    Returns:
      The ends of the range, to the width of a bin.

    Example:
      >>> seen = Histogram.empty().update(jnp.arange(1000.0))
      >>> percentile(seen, 8, percent=99.0)  # bins are ¼ wide
      (Array(5., dtype=float32), Array(994.25, dtype=float32))
    """
    del bits
    counts, edges = histogram.counts, histogram.edges
    outside = counts.sum() * ((100.0 - percent) / 200.0)
    first = jnp.argmax(jnp.cumsum(counts) > outside)
    last = len(counts) - 1 - jnp.argmax(jnp.cumsum(counts[::-1]) > outside)
    return jnp.maximum(edges[first], histogram.low), jnp.minimum(edges[last + 1], histogram.high)


def mse(histogram: Histogram, bits: int) -> tuple[jax.Array, jax.Array]:
    """The share of the full range that makes the squared error of the values the smallest.

    Args:
      histogram: of the values.
      bits: of a code.

    Returns:
      The ends of the range, both cut by the same share.

    Example:
      >>> seen = Histogram.empty().update(jnp.append(jnp.linspace(0.0, 1.0, 1000), 3.0))
      >>> mse(seen, 4)[1]  # finer steps for all are worth the error of the one at 3
      Array(2.0859, dtype=float32)

    References:
      Sung et al., `Resiliency of Deep Neural Networks under Quantization <https://arxiv.org/abs/1511.06488>`_, 2015;
      Nagel et al., `A White Paper on Neural Network Quantization <https://arxiv.org/abs/2106.08295>`_, 2021, sec. 3.1.
    """
    counts, centres = histogram.counts.astype(jnp.float32), histogram.centres

    def error(grid: Grid) -> jax.Array:
        return (counts * jnp.square(grid.fake_quantize(centres) - centres)).sum()

    return _best(error, histogram, bits)


def entropy(histogram: Histogram, bits: int) -> tuple[jax.Array, jax.Array]:
    """The share of the full range that loses the least information: the divergence KL(values || values on the grid).

    The values outside of the range count as its ends, where the grid has only what was there before: that is the price
    of cutting. Zeros are left out: they are exact on any grid, and after a ReLU so many that they would decide.

    Args:
      histogram: of the values.
      bits: of a code.

    Returns:
      The ends of the range, both cut by the same share.

    Example:
      >>> seen = Histogram.empty().update(-jnp.log(jnp.linspace(1e-4, 1.0, 10_000)))
      >>> seen.high, entropy(seen, 4)[1]
      (Array(9.2103, dtype=float32), Array(7.2675, dtype=float32))

    References:
      Migacz, `8-bit Inference with TensorRT
      <https://on-demand.gputechconf.com/gtc/2017/presentation/s7310-8-bit-inference-with-tensorrt.pdf>`_, 2017.
    """
    centres = histogram.centres
    counts = jnp.where(centres == 0, 0, histogram.counts).astype(jnp.float32)
    codes = 2**bits

    def divergence(grid: Grid) -> jax.Array:
        low, high = grid.dequantize(jnp.array([0, codes - 1]))
        inside = (centres >= low) & (centres <= high)
        kept = jnp.where(inside, counts, 0.0)
        ends = jnp.argmax(inside), len(inside) - 1 - jnp.argmax(inside[::-1])
        clipped = kept.at[ends[0]].add(jnp.where(centres < low, counts, 0.0).sum())
        clipped = clipped.at[ends[1]].add(jnp.where(centres > high, counts, 0.0).sum())
        code = grid.quantize(centres)
        total, filled = (jax.ops.segment_sum(part, code, codes) for part in (kept, (kept > 0).astype(jnp.float32)))
        spread = jnp.where(kept > 0, (total / jnp.maximum(filled, 1.0))[code], 0.0)
        return _divergence(clipped, spread)

    return _best(divergence, histogram, bits)


CALIBRATIONS: Mapping[str, Calibration] = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}


def calibrate(kind: str, histogram: Histogram, bits: int = 8) -> tuple[jax.Array, jax.Array]:
    """The scale and the zero point of an activation's unsigned grid, from what was seen of it.

    Args:
      kind: one of ``CALIBRATIONS``.
      histogram: of its values.
      bits: of a code.

    Returns:
      Both ``[]``, float32 and int32: see :func:`~effjax.quantization.activation_grid`.

    Raises:
      UserError: if there is no such calibration, or there are no codes of so many bits.

    Example:
      >>> calibrate("minmax", Histogram.empty().update(jnp.array([-1.0, 0.5])))
      (Array(0.0059, dtype=float32), Array(170, dtype=int32))
    """
    check_known(kind, CALIBRATIONS, f"kind = {kind!r}: there is no such calibration")
    grid = activation_grid(*CALIBRATIONS[kind](histogram, bits), bits)
    return grid.scale, grid.zero_point


def _best(loss: Callable[[Grid], jax.Array], histogram: Histogram, bits: int) -> tuple[jax.Array, jax.Array]:
    """The shares of the full range under which a loss is the smallest; of equal ones the widest."""
    shares = jnp.asarray(_SHARES[::-1])
    losses = jax.lax.map(
        lambda share: loss(activation_grid(share * histogram.low, share * histogram.high, bits)), shares
    )
    best = shares[jnp.argmin(losses)]
    return best * histogram.low, best * histogram.high


def _divergence(p: jax.Array, q: jax.Array) -> jax.Array:
    """KL(p || q) of two histograms; 0 of nothing."""
    p, q = (part / jnp.maximum(part.sum(), 1.0) for part in (p, q))
    return (xlogy(p, p) - xlogy(p, jnp.maximum(q, _MISSING))).sum()
