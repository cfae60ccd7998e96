"""Orders of examples by their difficulty: of those of equal difficulty by lot, of classes in turn where it is asked."""

import numpy as np

from effjax.data import draws


def by_difficulty(difficulty: np.ndarray, seed: int, *, hardest_first: bool = False) -> np.ndarray:
    """Positions in order; those of equal difficulty by a draw, so that no class comes first by its place.

    Args:
      difficulty: ``[n]``, higher is harder.
      seed: what is drawn is a function of it, and of how many there are.
      hardest_first: whether the most difficult come first.

    Returns:
      ``[n]`` positions.
    """
    shuffled = at_random(len(difficulty), seed)
    keys = difficulty[shuffled]
    return shuffled[np.argsort(-keys if hardest_first else keys, kind="stable")]


def at_random(count: int, seed: int) -> np.ndarray:
    """A random order, ``[count]`` positions."""
    return draws.permutation((seed, 2**63), count)


def in_turn(ranking: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The order with the classes in turn: the first of each class, then the second of each, …, each round in order.

    So any beginning of it holds as many examples of each class, to one, as long as the class has some left.

    Args:
      ranking: ``[n]`` positions in order.
      labels: ``[n]`` classes by position.

    Returns:
      ``[n]`` positions.

    References:
      Wu et al., `When Do Curricula Work? <https://arxiv.org/abs/2012.03107>`_, 2021, of which the code does so
      (``balance_order`` of https://github.com/google-research/understanding-curricula).
    """
    return ranking[np.argsort(places_in_class(labels[ranking]), kind="stable")]


def places_in_class(labels: np.ndarray) -> np.ndarray:
    """How many of the same class stand before each, ``[n]``, of classes in an order ``[n]``.

    >>> places_in_class(np.array([4, 7, 4, 4, 7])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(labels, kind="stable")
    _, first, inverse = np.unique(labels[order], return_index=True, return_inverse=True)
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - first[inverse]
    return places
