"""What is read off learning curves: their area, the labels that a level of accuracy takes, their mean over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from effjax.reports.tables import Estimate

Rounds = Sequence[Mapping[str, Any]]


def column(rounds: Rounds, key: str) -> np.ndarray:
    """One value of every round, ``[R]``."""
    return np.array([round_[key] for round_ in rounds], np.float64)


def shared_range(curves: Iterable[Rounds], key: str = "labels") -> tuple[float, float] | None:
    """The range that all curves cover; None if there is no number that they share."""
    ends = [(rounds[0][key], rounds[-1][key]) for rounds in curves]
    low, high = max(first for first, _ in ends), min(last for _, last in ends)
    return (float(low), float(high)) if low <= high else None


def area(labels: np.ndarray, accuracy: np.ndarray, low: float, high: float) -> float:
    """The area under a learning curve by the trapezoidal rule, divided by the range: a mean accuracy.

    Args:
      labels: ``[R]``, not falling.
      accuracy: ``[R]``.
      low: where the range begins, within the curve; between rounds the curve is a straight line.
      high: where it ends. If it is ``low``, the area is the accuracy there.

    References:
      Settles & Craven, `An Analysis of Active Learning Strategies for Sequence Labeling Tasks
      <https://aclanthology.org/D08-1112>`_, 2008, which compares strategies so.
    """
    if low == high:
        return float(np.interp(low, labels, accuracy))
    inside = (low < labels) & (labels < high)
    ends = np.interp([low, high], labels, accuracy)
    heights = np.concatenate([ends[:1], accuracy[inside], ends[1:]])
    return float(np.trapezoid(heights, np.concatenate([[low], labels[inside], [high]])) / (high - low))


def labels_needed(labels: np.ndarray, accuracy: np.ndarray, level: float) -> float | None:
    """The number of labels at which a curve first reaches a level, straight lines between rounds.

    Args:
      labels: ``[R]``, not falling.
      accuracy: ``[R]``.
      level: of the accuracy.

    Returns:
      The number; that of the first round if the level is reached there; None if it never is.
    """
    reached = np.flatnonzero(accuracy >= level)
    if not reached.size:
        return None
    if (after := int(reached[0])) == 0:
        return float(labels[0])
    before = after - 1
    share = (level - accuracy[before]) / (accuracy[after] - accuracy[before])
    return float(labels[before] + share * (labels[after] - labels[before]))


class MeanCurve(NamedTuple):
    """A mean over seeds, each ``[P]``: positions, means, and half of their 95 % intervals (None for one seed)."""

    at: np.ndarray
    mean: np.ndarray
    half: np.ndarray | None


def mean_curve(seeds: Sequence[Mapping[str, Any]], x: str, y: str) -> MeanCurve:
    """The mean over the seeds of a run, over what all of them cover, at every position that one of them has.

    Args:
      seeds: each with ``rounds``, one at least.
      x: what the curve is drawn over: a key of rounds, not falling.
      y: what is drawn.
    """
    curves = [(column(seed["rounds"], x), column(seed["rounds"], y)) for seed in seeds]
    covered = shared_range([seed["rounds"] for seed in seeds], x)
    if covered is None:
        return MeanCurve(np.empty(0), np.empty(0), None)
    at = np.unique(np.concatenate([positions for positions, _ in curves]))
    at = at[(covered[0] <= at) & (at <= covered[1])]
    values = np.array([np.interp(at, positions, heights) for positions, heights in curves])
    estimates = [Estimate.interval(list(several)) for several in values.T]
    half = np.array([estimate.spread for estimate in estimates], np.float64) if len(seeds) > 1 else None
    return MeanCurve(at, values.mean(0), half)
