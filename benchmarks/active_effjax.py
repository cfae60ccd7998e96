"""effjax's selectors and scores beside plain numpy, timed in turn; prints one line of JSON.

python -m benchmarks.active_effjax --row=k_center --rounds=5
"""

import os
from collections.abc import Callable, Mapping

import jax
import numpy as np

from benchmarks.active_child import report
from benchmarks.active_pools import CENTRES, GRADIENTS, JOINT, LABELLED, POOLS, TYPICAL
from effjax import selection, uncertainty

Found = Mapping[str, np.ndarray]


def functions(row: str, pool: Mapping[str, np.ndarray]) -> Mapping[str, Callable[[], Found]]:
    """What a row times, by name."""
    if row == "k_center_of_a_million":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # its goal is of one core
    jax.block_until_ready(jax.numpy.ones(3) + 1)  # memory is counted from a JAX that has started
    rows = {"k_center": k_center, "k_center_of_200k": k_center, "k_center_of_a_million": k_center_alone}
    rows |= {"typiclust": typiclust}
    return {**rows, "badge": badge, "batch_bald": batch_bald, "bald": bald}[row](**pool)


def k_center(features: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    def plain() -> Found:
        """The same algorithm: squares once, one product a pick."""
        centred = features - features.mean(0)
        squares = (centred**2).sum(-1)
        picks, nearest, position = [], np.full(len(features), np.inf, np.float32), LABELLED
        for _ in range(CENTRES):
            distances = squares - 2 * (centred @ centred[position]) + squares[position]
            np.minimum(nearest, np.maximum(distances, 0), out=nearest)
            nearest[position] = -1
            position = int(nearest.argmax())
            picks.append(position)
        return {"picks": np.array(picks)}

    return {**k_center_alone(features), "numpy": plain}


def k_center_alone(features: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    labelled = np.array([LABELLED])
    return {"effjax": lambda: {"picks": np.asarray(selection.k_center_greedy(features, CENTRES, labelled))}}


def typiclust(features: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    labelled = np.arange(400)  # so that there are as many clusters as there ever are
    key = jax.random.key(0)
    return {"effjax": lambda: {"picks": np.asarray(selection.typiclust(key, features, TYPICAL, labelled))}}


def badge(probs: np.ndarray, features: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    return {"effjax": lambda: {"picks": np.asarray(selection.badge(jax.random.key(0), probs, features, GRADIENTS))}}


def batch_bald(probs: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    return {"effjax": lambda: {"picks": np.asarray(selection.batch_bald(jax.random.key(0), probs, JOINT))}}


def bald(probs: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    def plain() -> Found:
        mean = probs.mean(0)
        entropy = -(mean * np.log(mean)).sum(-1)
        return {"bald": entropy + (probs * np.log(probs)).sum((0, 2)) / len(probs)}

    placed = jax.numpy.asarray(probs)  # predictions come from the device
    mean = placed.mean(0, keepdims=True)

    def of_the_mean() -> Found:
        scores = {"entropy": uncertainty.entropy, "margin": uncertainty.margin, "least": uncertainty.least_confidence}
        return {name: np.asarray(score(mean)) for name, score in scores.items()}

    return {
        "effjax": lambda: {"bald": np.asarray(uncertainty.bald(placed))},
        "numpy": plain,
        "effjax, of the mean": of_the_mean,
    }


def facts() -> Mapping[str, object]:
    return {"device": jax.devices()[0].device_kind}


if __name__ == "__main__":
    report(functions, POOLS, facts)
