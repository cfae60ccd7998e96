"""The published schedule of Curriculum By Smoothing, as a plan."""

import math

from effjax.curricula.plans import Plan


def smoothing(epochs: float = 200.0, *, start: float = 1.0, factor: float = 0.9, every: float = 5.0) -> Plan[float]:
    """The standard deviation of the Gaussian that blurs feature maps, falling by a factor every few epochs.

    Args:
      epochs: the length of the run.
      start: the standard deviation at first, in pixels of the maps.
      factor: what it is multiplied by.
      every: so many epochs.

    Returns:
      The plan ``smoothing``.

    Example:
      >>> [(round(start, 2), round(sigma, 3)) for start, sigma in smoothing(20).pieces]
      [(0.0, 1.0), (0.25, 0.9), (0.5, 0.81), (0.75, 0.729)]

    References:
      Sinha et al., `Curriculum By Smoothing <https://arxiv.org/abs/2003.01367>`_, 2020, and its code,
      https://github.com/pairlab/CBS (the defaults, of CIFAR).
    """
    return Plan("smoothing", [(k * every / epochs, start * factor**k) for k in range(math.ceil(epochs / every))])
