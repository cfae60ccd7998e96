"""Splits that keep every class's share."""

from collections.abc import Callable

import numpy as np

from effjax.data import draws


def stratified_split(strata: np.ndarray, held_out: Callable[[int], dict[str, int]], seed: int) -> dict[str, np.ndarray]:
    """Divides examples into train and held-out splits, stratum by stratum.

    Args:
      strata: ``[N]`` the stratum of each example (any sortable values).
      held_out: maps a stratum's size to the number of its examples in each held-out split; the rest is "train".
      seed: decides who goes where, and the order within each split.

    Returns:
      ``{split: int64 [n]}``: disjoint, together all of ``range(N)``. Each split is in random order, so that its
      beginning is a sample of the split rather than one class.
    """
    values, codes = np.unique(strata, return_inverse=True)
    chosen: dict[str, list[np.ndarray]] = {"train": []}
    for code in range(len(values)):
        members = np.flatnonzero(codes == code)
        members = members[draws.permutation((seed, code), len(members))]
        start = 0
        for split, count in held_out(len(members)).items():
            chosen.setdefault(split, []).append(members[start : start + count])
            start += count
        chosen["train"].append(members[start:])
    return {split: _mixed(np.concatenate(parts), seed) for split, parts in chosen.items()}


def _mixed(indices: np.ndarray, seed: int) -> np.ndarray:
    return np.sort(indices)[draws.permutation((seed, 2**32), len(indices))]
