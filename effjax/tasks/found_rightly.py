"""How far detections and true boxes agree: which score to trust, what tags add to it, and what people would leave."""

from collections.abc import Iterator, Mapping

import numpy as np

from effjax.tasks.box_answers import ACCEPTED
from effjax.tasks.overlaps import overlaps_by_image
from effjax.tasks.tags import explained

_RIGHT = 0.5  # overlap with a true box from which on a detection is one
_STRICT = np.arange(0.5, 0.96, 0.05)  # the overlaps at which average precision judges


def trusted_score(found: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> float:
    """The score above which detections and true boxes agree best: the highest F1.

    Weak false detections are then no items, whatever the scores of a network mean: where it is sure of little, the
    floor is low.

    Args:
      found: ``boxes``, ``scores``, ``classes``, ``present`` of the detections of N images, the best first.
      targets: ``objects/bbox``, ``objects/label``, ``objects/valid`` of them.

    Returns:
      The score; 0 where nothing is found rightly.
    """
    right, scores, true = [], [], 0
    for i, overlap in enumerate(_overlaps(found, targets)):
        there, labels = found["present"][i], targets["objects/label"][i][targets["objects/valid"][i].astype(bool)]
        overlap = overlap * (found["classes"][i][:, None] == labels)
        true += overlap.shape[1]
        right.extend(_hits(overlap[there], _RIGHT))
        scores.extend(found["scores"][i][there])
    if not scores or not any(right):
        return 0.0
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits = np.cumsum(np.asarray(right)[order])
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + true)
    return float(np.asarray(scores)[order][int(np.argmax(f1))])


def worth_of_tags(found: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray], floor: float) -> dict[str, float]:
    """How much better detections agree with true boxes once it is known which classes there are in each image.

    They are judged as average precision does: a network that learns from its own boxes learns their edges too, so boxes
    that merely touch what they are of are worth little. And what people would have to do about what is found.

    Args:
      found: as for :func:`trusted_score`.
      targets: the same.
      floor: the score from which on detections count.

    Returns:
      ``untagged``: the F1 of detections by their scores alone, the mean over overlaps of .5, .55, …, .95;
      ``explained``: the share of images whose tags what is found explains; ``tagged``: the same F1 of that, on these
      images, see :func:`effjax.tasks.tags.explained`; ``accepted``: the share of true boxes that people would not draw
      anew; ``none`` and ``each``: the line of least squares, true boxes where none is found, and more for each that is.
    """
    counts: list[tuple[int, int]] = []
    hits = {"untagged": np.zeros(len(_STRICT)), "tagged": np.zeros(len(_STRICT))}
    sizes, used, accepted = dict.fromkeys(hits, 0), 0, 0
    for i, overlap in enumerate(_overlaps(found, targets)):
        one = {name: found[name][i] for name in ("boxes", "scores", "classes", "present")}
        labels = targets["objects/label"][i][targets["objects/valid"][i].astype(bool)]
        above = np.flatnonzero(one["present"].astype(bool) & (one["scores"] >= floor))
        counts.append((len(above), len(labels)))
        taken = {"untagged": (above, one["classes"][above])}
        if (known := explained(one, set(labels.tolist()), floor)) is not None:
            used += 1
            taken["tagged"] = known
        for name, (rows, classes) in taken.items():
            of_class = overlap[rows] * (classes[:, None] == labels)
            hits[name] += [sum(_hits(of_class, least)) for least in _STRICT]
            sizes[name] += len(rows) + len(labels)
        accepted += sum(_hits(overlap[above] * (one["classes"][above, None] == labels), ACCEPTED))
    ours, true = np.array(counts, np.float64).reshape(-1, 2).T
    spread = ours.var() if len(ours) else 0.0
    each = float(((ours - ours.mean()) * true).mean() / spread) if spread else 0.0
    none = float(true.mean() - each * ours.mean()) if len(ours) else 0.0
    f1 = {name: float(2 * right.mean() / max(sizes[name], 1)) for name, right in hits.items()}
    shares = {"explained": used / max(len(counts), 1), "accepted": float(accepted / max(true.sum(), 1.0))}
    return {**f1, **shares, "none": none, "each": each}


def _overlaps(found: Mapping[str, np.ndarray], targets: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """By image, the overlaps of all detections with its true boxes, whatever they are of."""
    shared = overlaps_by_image(found["boxes"], targets["objects/bbox"])
    for overlap, valid in zip(shared, targets["objects/valid"], strict=True):
        yield overlap[:, valid.astype(bool)]


def _hits(overlap: np.ndarray, least: float) -> list[bool]:
    """Which detections, the best first, find a true box that no better one has found, by an overlap of ``least``."""
    left, right = np.ones(overlap.shape[1], bool), []
    for row in overlap:
        best = int(np.argmax(row * left)) if left.any() else 0
        hit = bool(left.any() and row[best] * left[best] >= least)
        left[best : best + 1] &= not hit
        right.append(hit)
    return right
