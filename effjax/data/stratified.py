"""Drawing parts of a folder's images, each of which has every class's share."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

_SEED = b"effjax"


def drawing_order(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """An order of examples any stretch of which is a random sample with every class's share, to one example.

    It is a function of the names: a file that is added moves few of the others from one part to another.

    Args:
      labels: ``[N]``.
      names: of the examples, all different.

    Returns:
      ``[N]`` int64 positions.
    """
    drawn = [hashlib.blake2b(os.fsencode(name), key=_SEED, digest_size=8).digest() for name in names]
    draw = np.array([int.from_bytes(digest, "big") for digest in drawn], np.uint64)
    place = np.zeros(len(labels))  # in its class, from 0 to 1
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        members = members[np.lexsort((members, draw[members]))]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((np.arange(len(labels)), draw, place))


def bounds(shares: Sequence[float], total: int) -> list[tuple[int, int]]:
    """Cuts ``range(total)`` into parts of the given shares, of any sum above 0: the start and end of each."""
    ends = [round(total * sum(shares[: i + 1]) / sum(shares)) for i in range(len(shares))]
    return list(zip([0, *ends], ends, strict=False))


def part_rows(
    labels: np.ndarray, names: Sequence[str], digests: np.ndarray, shares: Sequence[float], part: int
) -> np.ndarray:
    """The rows of one part of a folder's images. What is there twice comes into one part.

    Args:
      labels: ``[N]``.
      names: of the images.
      digests: of their contents, ``[N]``.
      shares: of the parts.
      part: which of them.
    """
    _, first, same = np.unique(digests, return_index=True, return_inverse=True)
    order = drawing_order(labels[first], [names[int(row)] for row in first])
    start, end = bounds(shares, len(first))[part]
    return np.flatnonzero(np.isin(same, order[start:end]))
