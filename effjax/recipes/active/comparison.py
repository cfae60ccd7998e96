"""Loops held against one another: by images, boxes or seconds, and by whatever was measured of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from effjax.reports import active_tables, tables
from effjax.tasks import Task

Noted = tuple[tables.Table, str]

_LEVELS = (
    "Labels for a level: where the learning curve first reaches it, straight lines between rounds; mean ± "
    "standard deviation. “> n”: some seeds do not reach it (so many of all do): their last number of labels "
    "stands for what it takes, so that the mean is at least n."
)
_MOST_IN_A_SENTENCE = 4


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The loops of an experiment, and what they are compared by.

    Attributes:
      measured: by run ``seeds``, each with its ``seed`` and ``rounds``, one at least.
      labels: what tables call the runs.
      control: the run that others are compared with, seed by seed; None compares none.
      claims: (what is claimed, run, run that it is said to beat).
      levels: of what is watched, whose price in labels is told.
      split: what was measured.
      task: what is learnt.
    """

    measured: Mapping[str, Any]
    labels: Mapping[str, str]
    control: str | None
    claims: Sequence[tuple[str, str, str]]
    levels: Sequence[float]
    split: str
    task: Task

    def results(self) -> tables.Table:
        """The main table: what is watched, by the number of labels."""
        return self._results(self._scores(), self._watched)

    def further(self) -> list[Noted]:
        """Tables besides, each with how to read it."""
        scores, found = self._scores(), list[Noted]()
        if self.levels:
            saved = (
                f" Saved: the share of the labels of {self.labels[self.control]} that are not needed, by seed, ± half "
                "its 95 % interval; “≥” where some seeds of it do not reach the level, “–” where some of the other's "
                "do not."
                if self.control in scores
                else ""
            )
            found.append((active_tables.efficiency(scores, self.labels, self.control, self.levels), _LEVELS + saved))
        note = "Claims are judged by the area under the learning curve. " + tables.VERDICTS
        found += self._claims(scores, note)
        for metric, heading in self.task.curves.items():
            if all(f"{self.split}/{metric}" in round_ for round_ in self._rounds()):
                scores = self._scores(metric)
                found.append((self._results(scores, heading, calibration=False), f"The same by {metric}."))
                found += self._claims(scores, f"The claims by the area of {metric}.")
        for unit, name in self._units().items():
            scores, covered = self._scores(unit=unit), active_tables.covered_by(self.measured, unit)
            ends = f"from {covered[0]:,.0f} to {covered[1]:,.0f}" if covered else "none that all loops cover"
            table = self._results(scores, self._watched, calibration=False, unit=name)
            found.append((table, f"The same loops by {name}: the area is over {name}, {ends}."))
            found += self._claims(scores, f"The claims by the area over {name}.")
        return found

    def area(self) -> str:
        """What the area of the main table is of."""
        covered = active_tables.covered_by(self.measured)
        if not covered:
            return "There is no number of labels that all loops cover, and so no area."
        return (
            f"Area: the mean {self.task.watched} from {covered[0]:.0f} to {covered[1]:.0f} labels, which all loops "
            "cover (the area under the learning curve by the trapezoidal rule, divided by that range)."
        )

    def lead(self) -> str:
        """The gains, if they are few enough to be read in a sentence."""
        scores = self._scores()
        others = [name for name in scores if name != self.control]
        if self.control is None or self.control not in scores or not 0 < len(others) <= _MOST_IN_A_SENTENCE:
            return "What accuracy do how many labels buy, if they are chosen well?"
        compared = active_tables.comparable(scores, [(self.labels[name], name, self.control) for name in others])
        gains = (f"{row[0]}: {row[2]}" for row in tables.claims(scores, self.labels, compared, "area").rows)
        return (
            f"Area under the learning curve against {self.labels[self.control]}, seed by seed, with its 95 % interval. "
            + "; ".join(gains)
        )

    def costs_differ(self) -> bool:
        """Whether something else was spent than one for each label."""
        rounds = self._rounds()
        return all("cost" in round_ for round_ in rounds) and any(
            round_["cost"] != round_["labels"] for round_ in rounds
        )

    @property
    def _watched(self) -> str:
        return self.task.label or self.task.watch

    def _rounds(self) -> list[Mapping[str, Any]]:
        return [round_ for run in self.measured.values() for seed in run["seeds"] for round_ in seed["rounds"]]

    def _units(self) -> dict[str, str]:
        """What loops are compared by besides images, and its name, where answers may name several items."""
        if not self.task.counted:
            return {}
        return {"items": self.task.counted, **({"cost": "seconds"} if self.costs_differ() else {})}

    def _scores(self, metric: str = "", unit: str = "labels"):
        return active_tables.scores(self.measured, self.split, self.levels, metric or self.task.watch, unit)

    def _results(self, scores, heading: str, **how: Any) -> tables.Table:
        return active_tables.results(scores, self.labels, self.control, self.split, heading, **how)

    def _claims(self, scores, note: str) -> list[Noted]:
        claims = active_tables.comparable(scores, self.claims)
        return [(tables.claims(scores, self.labels, claims, "area"), note)] if claims else []
