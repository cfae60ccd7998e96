"""How difficult each training example is, by what reference runs made of it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from effjax.curricula import el2n, gradient_norms
from effjax.data.feeds import Feed, fold_of
from effjax.data.pipeline import stack
from effjax.errors import UserError, check_known
from effjax.losses import cross_entropy
from effjax.recipes.train.finished import FinishedRun
from effjax.selection import DatasetMap, map_of_records
from effjax.steps import Network, has_convolution
from effjax.typing import PyTree

_GRADIENTS_AT_ONCE = 64  # examples whose gradients are there together


def difficulty(key: str, by: str, references: Sequence[FinishedRun], feed: Feed) -> np.ndarray:
    """Scores the examples that a run draws from.

    Args:
      key: of the config whose ``by`` it is, for errors.
      by: ``"loss"``: the cross-entropy of the label; ``"confidence"``: one minus the label's probability;
        ``"epoch_learnt"``: the epoch after which the label was always the network's choice while it trained, which it
        must have recorded; ``"c_score"``: one minus how often networks that did not train on the example are right;
        ``"held_out_loss"``: the cross-entropy of networks that did not train on it; ``"el2n"``: the norm of the error
        of the probabilities; ``"grand"``: that of the gradient of the example's loss, in all parameters;
        ``"forgetting"``: how often the label was the choice when the example was seen, and was not when it was seen
        next, of an example that was never learnt as often as it was seen; ``"mean_confidence"`` and
        ``"variability"``: one minus the mean, and the standard deviation, of the label's probability as it trained.
      references: finished runs, whose scores are averaged.
      feed: of the run that will draw.

    Returns:
      By global id ``[num_ids]``, higher is more difficult; infinite for an id that the run has no example of, and where
      a reference had to have seen the example and has not.

    Raises:
      UserError: if there is no such score, or the references do not have it.

    References:
      Hacohen & Weinshall, `On The Power of Curriculum Learning <https://arxiv.org/abs/1904.03626>`_, 2019 (loss);
      Jiang et al., `Characterizing Structural Regularities of Labeled Data <https://arxiv.org/abs/2002.03206>`_, 2021
      (c-score); Toneva et al., `An Empirical Study of Example Forgetting <https://arxiv.org/abs/1812.05159>`_, 2019
      (forgetting, epoch learnt), and Wu et al., `When Do Curricula Work? <https://arxiv.org/abs/2012.03107>`_, 2021
      (epoch learnt); Paul et al., `Deep Learning on a Data Diet <https://arxiv.org/abs/2107.07075>`_, 2021 (EL2N,
      GraNd); Swayamdipta et al., `Dataset Cartography <https://arxiv.org/abs/2009.10795>`_, 2020 (confidence,
      variability); Mindermann et al., `Prioritized Training on Points that are Learnable, Worth Learning, and Not Yet
      Learnt <https://arxiv.org/abs/2206.07137>`_, 2022 (held-out loss).
    """
    check_known(by, _SCORES, f"{key}.by={by!r}")
    ids, total = feed.joined.ids(), np.zeros(len(feed.joined))
    for reference in references:
        try:
            total += _SCORES[by](reference, feed)
        except UserError as error:
            raise UserError(f"{key}.by={by!r}: config.runs.{reference.name}.{error}") from error
    scores = np.full(feed.joined.num_ids, np.inf)
    scores[ids] = total / len(references)
    return scores


def _logits(reference: FinishedRun, feed: Feed, member: int | None = None) -> np.ndarray:
    """A network's, by row, ``[n, K]``."""
    network = reference.last if member is None else dataclasses.replace(reference.last, member=member)
    return reference.assembled.predict(network.variables(), feed.joined).astype(np.float64)


def _probs_of_labels(reference: FinishedRun, feed: Feed, member: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a network gives the labels, and whether they are its choice, by row."""
    logits = _logits(reference, feed, member)
    probs = np.exp(logits - logits.max(-1, keepdims=True))
    probs /= probs.sum(-1, keepdims=True)
    labels = feed.joined.column("label")
    return probs[np.arange(len(labels)), labels], logits.argmax(-1) == labels


def _loss_of(probs: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(probs, 1e-30))


def _loss(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return _loss_of(_probs_of_labels(reference, feed)[0])


def _confidence(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return 1.0 - _probs_of_labels(reference, feed)[0]


def _el2n(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return np.asarray(el2n(_logits(reference, feed), feed.joined.column("label")), np.float64)


def _grand(reference: FinishedRun, feed: Feed) -> np.ndarray:
    """One by one where gradients of convolutions would be mapped on CPU, which has no fast way to."""
    network, variables = reference.assembled.job.network_at_end, reference.last.variables()
    source, features = feed.joined, (*network.inputs, "label")
    norms = jax.jit(functools.partial(_norms, network))
    some = stack([{name: source[0][name] for name in features}])
    mapped = jax.default_backend() == "cpu" and has_convolution(functools.partial(_norms, network), variables, some)
    size, found = 1 if mapped else _GRADIENTS_AT_ONCE, []
    for start in range(0, len(source), size):
        rows = [min(row, len(source) - 1) for row in range(start, start + size)]  # always as many: one program
        examples = stack([{name: source[row][name] for name in features} for row in rows])
        found.append(np.asarray(norms(variables, examples), np.float64))
    return np.concatenate(found)[: len(source)]


def _norms(network: Network, variables: PyTree, examples: Mapping[str, np.ndarray]) -> jax.Array:
    rest = {name: value for name, value in variables.items() if name != "params"}

    def loss(params: PyTree, example: Mapping[str, jax.Array]) -> jax.Array:
        batch = jax.tree.map(lambda x: x[None], example)
        return cross_entropy(network.predict({"params": params, **rest}, batch).logits, batch["label"])[0]

    return gradient_norms(loss, variables["params"], examples)


def _held_out(reference: FinishedRun, feed: Feed) -> tuple[np.ndarray, np.ndarray]:
    """What networks that did not train on an example give its label, and whether it is their choice, by row."""
    folds = reference.assembled.config["folds"]
    if folds < 2:
        raise UserError(f"folds={folds} must be 2 or more")
    own, found = fold_of(feed.joined.ids(), folds), np.zeros((2, len(feed.joined)))
    for fold in range(folds):
        found[:, own == fold] = np.array(_probs_of_labels(reference, feed, member=fold))[:, own == fold]
    return found[0], found[1] > 0


def _c_score(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return 1.0 - _held_out(reference, feed)[1]


def _held_out_loss(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return _loss_of(_held_out(reference, feed)[0])


def _records(reference: FinishedRun, feed: Feed, key: str = "record") -> dict[str, np.ndarray]:
    """What a reference has noted of each example, by row."""
    if not reference.assembled.config[key]:
        raise UserError(f"{key} must be True")
    records, ids = reference.last.records(), feed.joined.ids()
    member = reference.last.member
    return {name: (noted if member is None else noted[member])[ids] for name, noted in records.items()}


def _epoch_learnt(reference: FinishedRun, feed: Feed) -> np.ndarray:
    steps_an_epoch = len(reference.assembled.train) / reference.assembled.config["batch_size"]
    return np.ceil(_records(reference, feed)["wrong_at"] / steps_an_epoch)


def _forgetting(reference: FinishedRun, feed: Feed) -> np.ndarray:
    records = _records(reference, feed, "forgetting")
    return np.where(records["right"] == 0, records["seen"], records["forgotten"])


def _map(reference: FinishedRun, feed: Feed) -> DatasetMap:
    return map_of_records(_records(reference, feed), np.arange(len(feed.joined)))


def _mean_confidence(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return _where_seen(1.0 - np.asarray(_map(reference, feed).confidence, np.float64))


def _variability(reference: FinishedRun, feed: Feed) -> np.ndarray:
    return _where_seen(np.asarray(_map(reference, feed).variability, np.float64))


def _where_seen(scores: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(scores), np.inf, scores)


_SCORES: dict[str, Callable[[FinishedRun, Feed], np.ndarray]] = {
    "loss": _loss,
    "confidence": _confidence,
    "epoch_learnt": _epoch_learnt,
    "c_score": _c_score,
    "held_out_loss": _held_out_loss,
    "el2n": _el2n,
    "grand": _grand,
    "forgetting": _forgetting,
    "mean_confidence": _mean_confidence,
    "variability": _variability,
}
