"""The keys of a config that say how a labelling loop goes and how it chooses, with their defaults."""

from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections


def active() -> ml_collections.ConfigDict:
    """How a labelling loop goes: how many labels, how often, from whom, until when."""
    config = ml_collections.ConfigDict()
    config.initial = 50  # labels in the first round, drawn at random
    config.per_round = 50
    config.rounds = 10  # at most, the first included
    config.start = "cold"  # each round from fresh parameters, or "warm": from those of the round before
    config.oracle = "dataset"  # or folder, label_studio
    config.budget = 0.0  # what all labels may cost; 0: no limit
    config.cost_per_label = 1.0
    config.target = 0.0  # the validation accuracy to stop at; 0: none
    config.patience = 0  # the loop ends after so many rounds without a better validation accuracy; 0: it does not
    config.scoring_batch = 256
    config.levels = (0.9, 0.95, 0.97)  # test accuracies whose price in labels is reported
    config.watch = ()  # classes, before they are put together, whose share among what was asked is reported
    return config


def query(
    *,
    predictions: str = "single",
    score: str = "entropy",
    selector: str = "top_k",
    members: int = 5,
    passes: int = 25,
    candidates: int = 0,
    outliers: Mapping[str, Any] | None = None,
    stream: Mapping[str, Any] | None = None,
) -> ml_collections.ConfigDict:
    """How a loop chooses what to ask.

    Args:
      predictions: ``"single"``, ``"ensemble"`` (of ``members`` networks, trained in one program), ``"dropout"`` or
        ``"augmentations"`` (of ``passes`` each).
      score: one of :mod:`effjax.uncertainty`.
      selector: ``"top_k"``, ``"power_batch"``, ``"class_balanced"``, ``"k_center_greedy"``, ``"badge"``,
        ``"batch_bald"``, ``"typiclust"``, ``"random"`` or ``"stream"``.
      members: of an ensemble.
      passes: of the others.
      candidates: a selector that compares examples with one another (all but the first two) sees only so many, those
        of the highest scores, so that a pool larger than memory can be selected from; 0: the whole pool.
      outliers: what is never asked for because it looks unlearnable: :func:`outliers`; None: nothing is left out.
      stream: how the selector ``"stream"`` decides: :func:`stream`.
    """
    given = {"predictions": predictions, "score": score, "selector": selector, "members": members, "passes": passes}
    nested = {"outliers": outliers or {}, "stream": stream or {}}
    return ml_collections.ConfigDict({**given, "candidates": candidates, **nested})


def outliers(
    share: Iterable[Iterable[float]], *, by: str = "correctness", source: str = "predicted", run: str = ""
) -> ml_collections.ConfigDict:
    """What a loop leaves out of its pool because it looks unlearnable, by a dataset map.

    Args:
      share: of the pool, a plan over the rounds: ``((0, 0.0), (0.2, 0.25))`` leaves out a quarter from the second
        fifth of the rounds on.
      by: the order, see :func:`effjax.selection.rank_outliers`.
      source: ``"predicted"``: the map of what is labelled, extended by a regression on the network's features, which
        asks for nothing that a real pool has not got; ``"labels"``: the map of the whole pool, with labels that only
        a simulation knows before it has asked.
      run: for ``"labels"``, the run without a query, with ``record=True``, whose map it is.
    """
    pieces = tuple(tuple(piece) for piece in share)
    return ml_collections.ConfigDict({"share": pieces, "by": by, "source": source, "run": run})


def stream(policy: str, budget: float, **options: Any) -> ml_collections.ConfigDict:
    """A pool that passes by once; each example is asked for at once or never.

    Args:
      policy: ``"fixed_threshold"``, ``"variable_threshold"``, ``"randomised_threshold"`` or ``"quantile_filter"``, see
        :mod:`effjax.selection.streams`.
      budget: the share of the examples that may be asked for.
      **options: of the policy.
    """
    return ml_collections.ConfigDict({"policy": policy, "budget": budget, **options})
