"""How well objects are found, as COCO measures it, of sums that merge."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from effjax.metrics.detections import THRESHOLDS, judged
from effjax.typing import Array

_RECALLS = np.linspace(0.0, 1.0, 101)


class AveragePrecision(NamedTuple):
    """Right and wrong detections by class, IoU and score: sums, from which precision at every recall follows.

    Of the detections of one bin of scores it is not known which came first: they are taken to be mixed evenly. Where no
    two of a class share a bin, the numbers are COCO's own; of 1,000 bins ``map`` is within .001.

    Attributes:
      true_positives: ``[K, T, bins]``, of the IoUs .5, .55, … .95; a bin holds scores from i / bins on.
      false_positives: the same.
      count: how many boxes of each class there are, ``[K]``.

    Example:
      >>> box, other = [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]
      >>> found = AveragePrecision.empty(1).update(
      ...     jnp.array([[box, other]]), jnp.array([[0.8, 0.9]]), jnp.zeros((1, 2), int), jnp.ones((1, 2), bool),
      ...     jnp.array([[box]]), jnp.zeros((1, 1), int), jnp.ones((1, 1), bool))
      >>> found.compute()  # a wrong one first
      {'map': 0.5, 'ap50': 0.5, 'ap75': 0.5}

    References:
      Lin et al., `Microsoft COCO: Common Objects in Context <https://arxiv.org/abs/1405.0312>`_, 2014;
      `its code <https://github.com/cocodataset/cocoapi>`_.
    """

    true_positives: jax.Array
    false_positives: jax.Array
    count: jax.Array  # pyright: ignore[reportIncompatibleMethodOverride] (tuples have a method of this name)

    @classmethod
    def empty(cls, num_classes: int, bins: int = 1000) -> "AveragePrecision":
        """Nothing seen of so many classes."""
        shape = num_classes, len(THRESHOLDS), bins
        return cls(jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32), jnp.zeros((num_classes,), jnp.float32))

    def update(
        self,
        boxes: Array,
        scores: Array,
        classes: Array,
        present: Array,
        true_boxes: Array,
        true_classes: Array,
        true_valid: Array,
        crowd: Array | None = None,
        where: Array | None = None,
    ) -> "AveragePrecision":
        """Adds the detections of a batch of images.

        Args:
          boxes: what was found, ``[B, D, 4]``.
          scores: how surely, ``[B, D]`` in [0, 1].
          classes: what it should be, ``[B, D]`` integers; of others than ``[0, K)`` nothing is counted.
          present: ``[B, D]`` booleans, false on padding.
          true_boxes: what is there, ``[B, M, 4]``.
          true_classes: ``[B, M]`` integers.
          true_valid: ``[B, M]`` booleans, false on padding.
          crowd: ``[B, M]`` booleans: boxes around many objects; what is found in them is neither right nor wrong.
          where: ``[B]`` booleans; images where it is false do not count.

        Raises:
          AssertionError: if the shapes do not fit.
        """
        num_classes, _, bins = self.true_positives.shape
        boxes, scores, true_boxes = (jnp.asarray(x, jnp.float32) for x in (boxes, scores, true_boxes))
        classes, true_classes = jnp.asarray(classes), jnp.asarray(true_classes)
        present, valid = jnp.asarray(present, bool), jnp.asarray(true_valid, bool)
        crowd = jnp.zeros(true_classes.shape, bool) if crowd is None else jnp.asarray(crowd, bool)
        where = jnp.ones(len(scores), bool) if where is None else jnp.asarray(where, bool)
        chex.assert_equal_shape([scores, classes, present])
        chex.assert_equal_shape([true_classes, valid, crowd])
        chex.assert_shape(boxes, (*scores.shape, 4))
        chex.assert_shape(true_boxes, (*true_classes.shape, 4))
        chex.assert_shape(where, scores.shape[:1])
        present &= where[:, None] & (classes >= 0) & (classes < num_classes)
        valid &= where[:, None] & (true_classes >= 0) & (true_classes < num_classes)
        right, wrong = jax.vmap(judged)(boxes, scores, classes, present, true_boxes, true_classes, valid, crowd)
        bin_ = jnp.clip((scores * bins).astype(jnp.int32), 0, bins - 1)
        place = jnp.where(present, classes, 0)[:, None], jnp.arange(len(THRESHOLDS))[:, None], bin_[:, None]
        counted = valid & ~crowd
        return AveragePrecision(
            self.true_positives.at[place].add(right.astype(jnp.float32)),
            self.false_positives.at[place].add(wrong.astype(jnp.float32)),
            self.count.at[jnp.where(counted, true_classes, 0)].add(counted.astype(jnp.float32)),
        )

    def merge(self, other: "AveragePrecision") -> "AveragePrecision":
        """What either has seen."""
        return AveragePrecision(*(a + b for a, b in zip(self, other, strict=True)))

    def compute(self) -> dict[str, float]:
        """``map``, the mean over IoUs and classes, ``ap50`` and ``ap75``; NaN if there are no boxes.

        Classes without boxes do not count. It is computed in float64, not inside of a program.
        """
        right, wrong, count = (np.asarray(x, np.float64) for x in self)
        there = count > 0
        if not there.any():
            return dict.fromkeys(("map", "ap50", "ap75"), float("nan"))
        classes = zip(right[there], wrong[there], count[there], strict=True)
        each = np.array([[_average_precision(*bins, n) for bins in zip(r, w, strict=True)] for r, w, n in classes])
        return {"map": float(each.mean()), "ap50": float(each[:, 0].mean()), "ap75": float(each[:, 5].mean())}


def _average_precision(right: np.ndarray, wrong: np.ndarray, count: float) -> float:
    """The mean over COCO's recalls of the best precision at that recall or above, of ``[bins]``, lowest score first."""
    right, wrong = right[::-1], wrong[::-1]
    up_to = right.cumsum()
    before, wrong_before = up_to - right, wrong.cumsum() - wrong

    def precision(bin_: Array | slice, nth: Array) -> Array:
        """At the nth right one of a bin: of m wrong ones mixed evenly with k right ones, m · n / (k + 1) come first."""
        found = before[bin_] + nth
        return found / np.maximum(found + wrong_before[bin_] + wrong[bin_] * nth / (right[bin_] + 1), 1)

    # Within a bin the precision rises or falls throughout: it is highest at the first or at the last.
    last = precision(slice(None), right)
    peak = np.where(right > 0, np.maximum(precision(slice(None), np.ones_like(right)), last), 0.0)
    later = np.append(np.maximum.accumulate(peak[::-1])[::-1][1:], 0.0)
    least = np.floor(_RECALLS * count)
    needed = np.maximum(np.where(least / count >= _RECALLS, least, least + 1), 1)
    bin_ = np.minimum(np.searchsorted(up_to, needed), len(up_to) - 1)
    best = np.maximum(precision(bin_, needed - before[bin_]), np.maximum(last[bin_], later[bin_]))
    return float(np.where(needed <= up_to[-1], best, 0.0).mean())
