"""Random draws on the host that stay the same on every machine and with every version of numpy.

numpy promises that the raw stream of a bit generator never changes; what ``Generator`` makes of it may. Epoch orders,
splits and generated images outlive a numpy release, so they are built on the raw stream alone.
"""

import numpy as np


def _words(key: tuple[int, int], count: int) -> np.ndarray:
    return np.random.Philox(key=np.array(key, np.uint64)).random_raw(count)


def uniforms(key: tuple[int, int], count: int) -> np.ndarray:
    """Independent uniform draws, a function of the key alone.

    Args:
      key: two integers in [0, 2^64), e.g. a seed and a counter.
      count: how many draws.

    Returns:
      ``[count]`` float64 in [0, 1), multiples of 2^-53.
    """
    return (_words(key, count) >> np.uint64(11)) * 2.0**-53


def permutation(key: tuple[int, int], count: int) -> np.ndarray:
    """A uniformly random order of ``range(count)``, a function of the key alone.

    Args:
      key: two integers in [0, 2^64), e.g. a seed and an epoch.
      count: how many positions.

    Returns:
      ``[count]`` int64.
    """
    return np.argsort(_words(key, count), kind="stable")
