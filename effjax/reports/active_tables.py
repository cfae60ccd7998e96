"""Tables of labelling loops over seeds: how good they are in the end, and how many labels that takes."""

from collections.abc import Mapping, Sequence
from typing import Any

from effjax.reports.active_curves import area, column, labels_needed, shared_range
from effjax.reports.tables import Estimate, Table

_OF_CLASSES = ("ece", "ece_scaled", "nll")

Scores = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def scores(
    summary: Mapping[str, Any], split: str, levels: Sequence[float], watch: str = "accuracy", unit: str = "labels"
) -> dict[str, dict[str, Any]]:
    """What tables say of each seed of each run.

    Args:
      summary: by run ``seeds``, each with its ``seed`` and ``rounds``, one at least.
      split: ``"test"`` or ``"validation"``: which values of the rounds are meant.
      levels: of what is watched.
      watch: the metric that runs are judged by, a share.
      unit: what learning curves are over: ``"labels"``, ``"items"`` or ``"cost"``; stands for labels in what follows.

    Returns:
      By run ``seeds``, each with its ``seed``; ``labels``, ``watched`` and, of classes, ``ece``, ``ece_scaled`` and
      ``nll`` of its last round; ``area``, the mean of what is watched over the labels that all seeds of all runs cover
      (None if there are none); and ``needed``, by level the labels that it takes (None where it is not reached).
    """
    covered = covered_by(summary, unit)
    found: dict[str, dict[str, Any]] = {}
    for name, run in summary.items():
        seeds = []
        for seed in run["seeds"]:
            last = seed["rounds"][-1]
            labels, accuracy = (column(seed["rounds"], key) for key in (unit, f"{split}/{watch}"))
            values: dict[str, Any] = {"watched": last[f"{split}/{watch}"]}
            values |= {key: last[f"{split}/{key}"] for key in _OF_CLASSES if f"{split}/{key}" in last}
            values["area"] = None if covered is None else area(labels, accuracy, *covered)
            values["needed"] = {level: labels_needed(labels, accuracy, level) for level in levels}
            seeds.append({"seed": seed["seed"], "labels": last[unit], **values})
        found[name] = {"seeds": seeds}
    return found


def covered_by(summary: Mapping[str, Any], unit: str = "labels") -> tuple[float, float] | None:
    """The numbers of labels, or of another unit, that all seeds of all runs cover; None if there are none."""
    return shared_range([seed["rounds"] for run in summary.values() for seed in run["seeds"]], unit)


def results(
    found: Scores,
    labels: Mapping[str, str],
    control: str | None,
    split: str,
    heading: str = "acc.",
    *,
    calibration: bool = True,
    unit: str = "labels",
) -> Table:
    """One row a run: mean ± standard deviation over the seeds, differences ± half their 95 % interval.

    Args:
      found: of :func:`scores`.
      labels: what the table calls the runs.
      control: the run that others are compared with, seed by seed; None compares none.
      split: what is measured.
      heading: what is watched, in short.
      calibration: whether it is shown, where it was measured.
      unit: what the table calls what learning curves are over.
    """
    every = [seed for run in found.values() for seed in run["seeds"]]
    calibrated = calibration and all(key in seed for seed in every for key in _OF_CLASSES)
    headers = ("run", unit, f"{split} {heading}", f"Δ {heading}", "area", "Δ area")
    headers += ("ECE", "ECE scaled", "NLL") if calibrated else ()
    rows = []
    for name, run in found.items():
        seeds = run["seeds"]
        other = found[control]["seeds"] if control is not None and control in found and name != control else []
        known = seeds[0]["area"] is not None
        rows.append(
            (
                labels.get(name) or name,
                f"{_mean(seeds, 'labels'):.0f}",
                Estimate.over_seeds(seeds, "watched").percent(),
                _difference(seeds, other, "watched"),
                Estimate.over_seeds(seeds, "area").percent() if known else "",
                _difference(seeds, other, "area") if known else "",
                *([f"{_mean(seeds, key):.4f}" for key in ("ece", "ece_scaled")] if calibrated else []),
                *([f"{_mean(seeds, 'nll'):.3f}"] if calibrated else []),
            )
        )
    return Table(headers, rows)


def efficiency(found: Scores, labels: Mapping[str, str], control: str | None, levels: Sequence[float]) -> Table:
    """One row a run: the labels that each level of accuracy takes, and the share of the control's that it saves.

    Args:
      found: of :func:`scores`, of the same levels.
      labels: what the table calls the runs.
      control: the run that others are compared with, seed by seed; None compares none.
      levels: of accuracy.
    """
    compared = control if control in found else None
    headers = ["run"]
    for level in levels:
        headers += [f"labels for {100 * level:g} %", *([f"saved at {100 * level:g} %"] if compared else [])]
    rows = []
    for name, run in found.items():
        cells = [labels.get(name) or name]
        for level in levels:
            cells.append(_needed(run["seeds"], level))
            if compared:
                cells.append("" if name == control else _saved(run["seeds"], found[compared]["seeds"], level))
        rows.append(cells)
    return Table(headers, rows)


def comparable(found: Scores, claims: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The claims ``(claim, run, run that it is said to beat)`` of runs that share a seed and have an area."""
    return [
        claim
        for claim in claims
        if all(run in found and found[run]["seeds"][0]["area"] is not None for run in claim[1:])
        and _shared(*(found[run]["seeds"] for run in claim[1:]))
    ]


def _mean(seeds, key: str) -> float:
    return Estimate.over_seeds(seeds, key).mean


def _shared(ours, theirs) -> set[int]:
    return {seed["seed"] for seed in ours} & {seed["seed"] for seed in theirs}


def _difference(ours, control, key: str) -> str:
    return Estimate.paired(ours, control, key).percent("+") if _shared(ours, control) else ""


def _needed(seeds, level: float) -> str:
    """The mean; of seeds that have not reached it all that is known is that it takes more than all their labels."""
    found = Estimate.of([_at_least(seed, level) for seed in seeds])
    if missing := _not_reached(seeds, level):
        return f"> {found.mean:,.0f} ({len(seeds) - missing} of {len(seeds)} seeds)"
    spread = "" if found.spread is None else f" ± {found.spread:.0f}"
    return f"{found.mean:,.0f}{spread}"


def _at_least(seed, level: float) -> float:
    return seed["labels"] if seed["needed"][level] is None else seed["needed"][level]


def _not_reached(seeds, level: float) -> int:
    return sum(seed["needed"][level] is None for seed in seeds)


def _saved(ours, control, level: float) -> str:
    """By seed; where the control has not reached the level, at least so much."""
    theirs = {seed["seed"]: seed for seed in control}
    pairs = [(seed, theirs[seed["seed"]]) for seed in ours if seed["seed"] in theirs]
    if not pairs or _not_reached([mine for mine, _ in pairs], level):
        return "–"
    found = Estimate.interval([1 - _at_least(mine, level) / _at_least(other, level) for mine, other in pairs])
    if _not_reached([other for _, other in pairs], level):
        return f"≥ {round(100 * found.mean):+d} %"
    spread = "" if found.spread is None else f" ± {100 * found.spread:.0f}"
    return f"{round(100 * found.mean):+d}{spread} %"
