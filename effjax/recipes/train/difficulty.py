"""How difficult each training example is, by what reference runs made of it."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from effjax.data.feeds import Feed, fold_of
from effjax.errors import UserError, check_known
from effjax.recipes.train.finished import FinishedRun


def difficulty(by: str, references: Sequence[FinishedRun], feed: Feed) -> np.ndarray:
    """Scores the examples that a run draws from.

    Args:
      by: ``"loss"``: the cross-entropy of the label; ``"confidence"``: one minus the label's probability;
        ``"epoch_learnt"``: the epoch after which the label was always the network's choice while it trained, which it
        must have recorded; ``"c_score"``: one minus how often networks that did not train on the example are right.
      references: finished runs, whose scores are averaged.
      feed: of the run that will draw.

    Returns:
      By global id ``[num_ids]``, higher is more difficult; infinite for an id that the run has no example of.

    Raises:
      UserError: if there is no such score, or the references do not have it.

    References:
      Hacohen & Weinshall, `On The Power of Curriculum Learning <https://arxiv.org/abs/1904.03626>`_, 2019 (loss);
      Jiang et al., `Characterizing Structural Regularities of Labeled Data <https://arxiv.org/abs/2002.03206>`_, 2021
      (c-score); Toneva et al., `An Empirical Study of Example Forgetting <https://arxiv.org/abs/1812.05159>`_, 2019,
      and Wu et al., `When Do Curricula Work? <https://arxiv.org/abs/2012.03107>`_, 2021 (epoch learnt).
    """
    check_known(by, _SCORES, f"pacing.by={by!r}")
    ids, total = feed.joined.ids(), np.zeros(len(feed.joined))
    for reference in references:
        total += _SCORES[by](reference, feed)
    scores = np.full(feed.joined.num_ids, np.inf)
    scores[ids] = total / len(references)
    return scores


def _probs_of_labels(reference: FinishedRun, feed: Feed, member: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a network gives the labels, and whether they are its choice, by row."""
    network = reference.last if member is None else dataclasses.replace(reference.last, member=member)
    logits = reference.assembled.predict(network.variables(), feed.joined).astype(np.float64)
    probs = np.exp(logits - logits.max(-1, keepdims=True))
    probs /= probs.sum(-1, keepdims=True)
    labels = feed.joined.column("label")
    return probs[np.arange(len(labels)), labels], logits.argmax(-1) == labels


def _loss(reference: FinishedRun, feed: Feed) -> np.ndarray:
    probs, _ = _probs_of_labels(reference, feed)
    return -np.log(np.maximum(probs, 1e-30))


def _confidence(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return 1.0 - _probs_of_labels(reference, feed)[0]


def _epoch_learnt(reference: FinishedRun, feed: Feed) -> np.ndarray:
    if not reference.assembled.config["record"]:
        raise UserError(f"pacing.by='epoch_learnt': config.runs.{reference.name}.record must be True")
    steps_an_epoch = len(reference.assembled.train) / reference.assembled.config["batch_size"]
    return np.ceil(reference.last.records()["wrong_at"][feed.joined.ids()] / steps_an_epoch)


def _c_score(reference: FinishedRun, feed: Feed) -> np.ndarray:
    folds = reference.assembled.config["folds"]
    if folds < 2:
        raise UserError(f"pacing.by='c_score': config.runs.{reference.name}.folds={folds} must be 2 or more")
    own, wrong = fold_of(feed.joined.ids(), folds), np.ones(len(feed.joined))
    for fold in range(folds):
        _, right = _probs_of_labels(reference, feed, member=fold)
        wrong[own == fold] = ~right[own == fold]
    return wrong


_SCORES: dict[str, Callable[[FinishedRun, Feed], np.ndarray]] = {
    "loss": _loss,
    "confidence": _confidence,
    "epoch_learnt": _epoch_learnt,
    "c_score": _c_score,
}
