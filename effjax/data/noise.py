"""A source some of whose labels are wrong, for experiments on what noise does to a method."""

import functools

import numpy as np

from effjax.data import draws
from effjax.data.base import MappedSource, Source, on_whole
from effjax.errors import UserError


def noisy_labels(source: Source, share: float) -> Source:
    """Gives a share of the examples another class, drawn evenly from all the others.

    The same examples of a whole split are wrong, in the same way, in every run and every subset.

    Args:
      source: any source with labels.
      share: of the whole split's examples, in [0, 1).

    Raises:
      UserError: if the share is out of range.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise UserError(f"data.label_noise={share!r} must be a share, from 0 to below 1")

    def spoilt(whole: Source) -> Source:
        return MappedSource(whole, {"label": functools.partial(_label_of, _with_noise(whole, share))})

    return on_whole(source, spoilt)


def _with_noise(whole: Source, share: float) -> np.ndarray:
    """By global id, the labels of a whole split once a share of them is spoilt."""
    labels, classes = whole.column("label").astype(np.int32), whole.info.num_classes
    wrong = draws.permutation((0, len(whole)), len(whole))[: round(share * len(whole))]
    others = 1 + np.floor(draws.uniforms((1, len(whole)), len(wrong)) * (classes - 1))
    labels[wrong] = (labels[wrong] + others.astype(np.int32)) % classes
    return labels


def _label_of(noisy: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return noisy[ids]
