"""One class of an image."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from effjax import metrics
from effjax.losses import cross_entropy
from effjax.metrics import CalibrationBins, Mean, Metric
from effjax.specs import Spec
from effjax.steps.predictions import Items
from effjax.tasks.answers import ClassAnswers
from effjax.tasks.base import Task
from effjax.typing import Batch


def _accuracy(logits: jax.Array, batch: Batch, where: jax.Array) -> Mean | None:
    if not jnp.issubdtype(batch["label"].dtype, jnp.integer):  # a mixture of two images has no one class
        return None
    return Mean.empty().update(metrics.top_k_accuracy(logits, batch["label"]), where=where)


def _loss(logits: jax.Array, batch: Batch, where: jax.Array) -> Mean:
    return Mean.empty().update(cross_entropy(logits, batch["label"], where=where), where=where)


def _calibration(logits: jax.Array, batch: Batch, where: jax.Array) -> CalibrationBins:
    return CalibrationBins.empty().update(_softmax(logits), batch["label"], where=where)


def _outcome(logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """The probability of each example's label ``[B]``, and whether it was the choice ``[B]``."""
    label = batch["label"]
    own = jnp.take_along_axis(_softmax(logits), label[:, None], axis=1)[:, 0]
    return own, metrics.top_k_accuracy(logits, label) > 0.5


def _items(logits: jax.Array) -> Items:
    probs = _softmax(logits)[:, :, None]
    return Items(probs, jnp.ones(probs.shape[1:3], bool))


# One program, not one for every operation. (What is rounded would be rounded otherwise in one.)
_right = jax.jit(metrics.top_k_accuracy)


def _measure(logits: np.ndarray, targets: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Accuracy, negative log-likelihood in nats and expected calibration error of logits ``[N, K]``."""
    labels, probs = targets["label"], np.asarray(jax.nn.softmax(logits))
    return {
        "accuracy": _mean(_right(logits, labels)),
        "nll": _mean(metrics.negative_log_likelihood(probs, labels)),
        "ece": float(metrics.expected_calibration_error(probs, labels)),
    }


def _softmax(logits: jax.Array) -> jax.Array:
    return jax.nn.softmax(logits.astype(jnp.float32))


def _mean(values: jax.Array) -> float:
    return float(np.asarray(values, np.float64).mean())


CLASSIFICATION = Task(
    name="classification",
    inputs=("image",),
    targets={"label": Spec(np.int32)},
    metrics={
        "accuracy": Metric(_accuracy, in_training=True),
        "loss": Metric(_loss),
        "ece": Metric(_calibration),
    },
    watch="accuracy",
    measure=_measure,
    label="acc.",
    columns={"ece": "ECE"},
    items=_items,
    answers=ClassAnswers,
    outcome=_outcome,
    of_classes=True,
)
