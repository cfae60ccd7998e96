"""The answer to a question about an image, one of those that are known."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from effjax import metrics
from effjax.tasks.answers import ClassAnswers
from effjax.tasks.classification import CLASSIFICATION

_LISTED = 60  # answers that a person is told of; more are counted


@dataclasses.dataclass(frozen=True)
class VocabularyAnswers(ClassAnswers):
    """One of many answers, kept as its number."""

    @property
    def hint(self) -> str:
        more = f", … ({len(self.choices):,} in all)" if len(self.choices) > _LISTED else ""
        return f"an answer ({', '.join(self.choices[:_LISTED])}{more})"


def _measure(logits: np.ndarray, targets: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of logits ``[N, K]``, what is measured of classes; accuracy by type and kind of question; VQA's accuracy."""
    found = dict(CLASSIFICATION.measure(logits, targets))
    right = np.asarray(metrics.top_k_accuracy(logits, targets["label"]))
    for feature in ("type", "kind"):
        values = targets.get(feature, np.array([]))
        found |= {f"accuracy/{feature}/{value}": float(right[values == value].mean()) for value in np.unique(values)}
    if "answers" in targets:
        agreed = metrics.consensus_accuracy(np.argmax(logits, -1), targets["answers"])
        found["consensus_accuracy"] = float(np.asarray(agreed, np.float64).mean())
    return found


ANSWERING = dataclasses.replace(
    CLASSIFICATION,
    name="answering",
    inputs=("image", "question"),
    measure=_measure,
    answers=VocabularyAnswers,
    noted=("type", "kind", "answers"),
    attention="attention",
    curves={"accuracy/kind/learnable": "acc. of learnable", "consensus_accuracy": "consensus acc."},
)

#: The same of an image's features that somebody has stored.
STORED_ANSWERING = dataclasses.replace(ANSWERING, name="answering_stored", inputs=("grid", "question"), attention="")
