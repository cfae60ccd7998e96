"""The same picks and scores by other libraries of active learning, timed; prints one line of JSON.

    python -m benchmarks.active_peers --row=bald --rounds=5

Runs in an environment that has scikit-activeml, baal and modAL (effjax's own does not).
"""

import importlib.metadata
import os
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch

from benchmarks.active_child import report
from benchmarks.active_pools import CENTRES, GRADIENTS, JOINT, LABELLED, POOLS

warnings.filterwarnings("ignore")

from baal.active import heuristics  # noqa: E402
from modAL.uncertainty import classifier_entropy, classifier_margin, classifier_uncertainty  # noqa: E402
from skactiveml import pool as skactiveml  # noqa: E402
from skactiveml.base import SkactivemlClassifier  # noqa: E402

Found = Mapping[str, np.ndarray]


class Known(SkactivemlClassifier):
    """A classifier that has been asked already."""

    def __init__(self, probs=None, classes=None, missing_label=np.nan, cost_matrix=None, random_state=None):
        super().__init__(classes, missing_label, cost_matrix, random_state)
        self.probs = probs

    def fit(self, X, y, sample_weight=None):
        return self

    def predict_proba(self, X):
        return self.probs


def functions(row: str, pool: Mapping[str, np.ndarray]) -> Mapping[str, Callable[[], Found]]:
    """What a row times, by name."""
    return {"k_center": k_center, "badge": badge, "batch_bald": batch_bald, "bald": bald}[row](**pool)


def k_center(features: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    labels = np.full(len(features), np.nan)
    labels[LABELLED] = 0
    query = skactiveml.CoreSet(random_state=0).query
    return {"scikit-activeml": lambda: {"picks": query(features, labels, batch_size=CENTRES)}}


def badge(probs: np.ndarray, features: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    labels, known = np.full(len(features), np.nan), Known(probs)
    query = skactiveml.Badge(random_state=0).query
    return {"scikit-activeml": lambda: {"picks": query(features, labels, known, fit_clf=False, batch_size=GRADIENTS)}}


def batch_bald(probs: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    ours = np.ascontiguousarray(probs.transpose(1, 2, 0))
    return {"baal": lambda: {"scores": heuristics.BatchBALD(JOINT).compute_score(ours)}}


def bald(probs: np.ndarray) -> Mapping[str, Callable[[], Found]]:
    as_baal_has_them, mean = np.ascontiguousarray(probs.transpose(1, 2, 0)), Known(probs.mean(0))

    def modal() -> Found:
        """It has no BALD for the predictions of members, but the scores of their mean."""
        scores = {"entropy": classifier_entropy, "margin": classifier_margin, "least": classifier_uncertainty}
        found = {name: score(mean, np.zeros((probs.shape[1], 1))) for name, score in scores.items()}
        return {**found, "margin": 1 - found["margin"]}  # it calls the sure ones' large

    return {
        "baal": lambda: {"bald": heuristics.BALD().compute_score(as_baal_has_them)},
        "scikit-activeml": lambda: {"bald": skactiveml._bald.batch_bald(probs, 1)[0]},
        "modAL": modal,
    }


def facts() -> Mapping[str, object]:
    packages = ("scikit-activeml", "baal", "modAL-python", "torch", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    threads = os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())
    return {"versions": f"{versions}, {threads} threads"}


if __name__ == "__main__":
    report(functions, POOLS, facts)
