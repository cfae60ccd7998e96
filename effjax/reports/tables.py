"""Tables of runs over seeds, as text and as rows for the report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit  # of scipy.stats the import alone takes a second

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean and spread over seeds.

    Attributes:
      mean: over the seeds.
      spread: the sample standard deviation, or for a difference half of its 95 % interval; None for a single seed.
    """

    mean: float
    spread: float | None

    @classmethod
    def over_seeds(cls, seeds: Sequence[Mapping[str, Any]], key: str) -> "Estimate":
        """Mean and sample standard deviation of a value."""
        return cls.of([seed[key] for seed in seeds])

    @classmethod
    def paired(cls, ours: Sequence[Mapping[str, Any]], control: Sequence[Mapping[str, Any]], key: str) -> "Estimate":
        """Mean difference to the control, by seed that both have, and half of its 95 % interval by Student's t."""
        return cls.interval(differences(ours, control, key))

    @classmethod
    def interval(cls, values: Sequence[float]) -> "Estimate":
        """Mean and half of its 95 % interval, by Student's t."""
        found = cls.of(values)
        if found.spread is None:
            return found
        quantile = stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)
        return cls(found.mean, float(quantile * found.spread / np.sqrt(len(values))))

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """The mean and the standard deviation of values; of a single one, no deviation."""
        found = np.asarray(values, np.float64)
        return cls(float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None)

    def percent(self, sign: str = "") -> str:
        """The estimate in percent, e.g. ``95.13 ± 0.25 %``."""
        spread = "" if self.spread is None else f" ± {100 * self.spread:.2f}"
        return f"{100 * self.mean:{sign}.2f}{spread} %"


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of text.

    Attributes:
      headers: of the columns; the first is the rows' name.
      rows: as many cells each.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Aligned, for a terminal."""
        lines = [self.headers, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headers))]

        def join(line: Sequence[str]) -> str:
            padded = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
            return "  ".join([line[0].ljust(widths[0]), *padded[1:]])

        return "\n".join([join(lines[0]), "  ".join("-" * width for width in widths), *map(join, lines[1:])])

    def markdown(self) -> str:
        """The table in Markdown, numbers to the right."""
        lines = [self.headers, ("---", *["---:"] * (len(self.headers) - 1)), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def averaged_over(seeds: Sequence[int], of_runs: Mapping[str, Sequence[int]] | None = None) -> str:
    """A note's first words: what the numbers of a table are of.

    Args:
      seeds: the experiment's.
      of_runs: by label, those of each run; the runs that have others are named.
    """
    said = f"Mean ± standard deviation over {_seeds(seeds)}." if len(seeds) > 1 else f"Seed {seeds[0]} alone."
    fewer: dict[tuple[int, ...], list[str]] = {}
    for label, own in (of_runs or {}).items():
        if tuple(own) != tuple(seeds):
            fewer.setdefault(tuple(own), []).append(label)
    return " ".join([said, *(f"Of {'; '.join(labels)}: {_seeds(own)}." for own, labels in fewer.items())])


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]} alone" if len(seeds) == 1 else f"the seeds {', '.join(map(str, seeds))}"


def results(
    summary: Mapping[str, Any],
    labels: Mapping[str, str],
    control: str | None,
    watch: str = "accuracy",
    heading: str = "acc.",
    columns: Mapping[str, str] | None = None,
    *,
    agreement: bool = True,
) -> Table:
    """One row a run: mean ± standard deviation over the seeds, differences ± half their 95 % interval.

    Args:
      summary: by run ``params``, ``mflops`` and ``seeds``.
      labels: what the table calls the runs.
      control: the run that others are compared with, seed by seed; None compares none.
      watch: the metric that runs are judged by, a share.
      heading: of its column; "" is its name.
      columns: metrics that are shown besides, with their headings.
      agreement: whether there are teachers that runs may agree with.
    """
    columns = {"ece": "ECE"} if columns is None else columns
    agrees = agreement and all("agreement" in seed for run in summary.values() for seed in run["seeds"])
    head = ("run", "parameters", "MFLOPs/image", f"test {heading or watch} last", "best")
    head = (*head, *["agreement"] * agrees, *columns.values(), "Δ last", "Δ best")
    return Table(
        head, [_row(name, run, labels, summary, control, watch, columns, agrees) for name, run in summary.items()]
    )


def claims(
    summary: Mapping[str, Any], labels: Mapping[str, str], made: Sequence[tuple[str, str, str]], key: str
) -> Table:
    """What the seeds say of claims.

    Args:
      summary: by run its ``seeds``.
      labels: what the table calls the runs.
      made: ``(claim, run, run that it is said to beat)``.
      key: what of a seed is compared, an accuracy.

    Returns:
      A row a claim: the mean difference of the runs with its 95 % interval, its p-value among all claims of the table
      (:func:`holm`), and a verdict: see :data:`VERDICTS`.
    """
    values = [differences(summary[run]["seeds"], summary[other]["seeds"], key) for _, run, other in made]
    alone = [p_value(one) for one in values]
    rows = []
    for (claim, run, other), one, by_itself, among_all in zip(made, values, alone, holm(alone), strict=True):
        gain = Estimate.interval(one)
        pair = f"{labels.get(run) or run} − {labels.get(other) or other}"
        shown = "" if gain.spread is None else "< 0.001" if among_all < 0.001 else f"{among_all:.3f}"
        rows.append((claim, pair, gain.percent("+"), shown, _verdict(gain.mean, by_itself, among_all)))
    return Table(("claim", "runs", "difference", "p", "verdict"), rows)


#: What the verdicts of :func:`claims` mean, for a note.
VERDICTS = (
    "A claim holds if its difference is above zero and p, of a paired t-test corrected by Holm for all claims of the "
    "table, is below 0.05; “by itself” means that it would be without the correction (its 95 % interval does not "
    "contain zero)."
)
_LEVEL = 1 - CONFIDENCE


def _verdict(mean: float, by_itself: float, among_all: float) -> str:
    if by_itself >= _LEVEL:
        return "not told apart"
    return ("holds" if mean > 0 else "the opposite holds") + ("" if among_all < _LEVEL else ", by itself")


def differences(ours: Sequence[Mapping[str, Any]], control: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """A value minus the control's, by seed that both have."""
    theirs = {seed["seed"]: seed[key] for seed in control}
    return [seed[key] - theirs[seed["seed"]] for seed in ours if seed["seed"] in theirs]


def p_value(values: Sequence[float]) -> float:
    """Of Student's two-sided test of a mean of zero; 1 for a single value."""
    found = Estimate.of(values)
    if found.spread is None or not (found.mean or found.spread):
        return 1.0
    if not found.spread:
        return 0.0
    return float(2 * stdtr(len(values) - 1, -abs(found.mean) * np.sqrt(len(values)) / found.spread))


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction of p-values for how many there are: the share of error over all of them stays what it was.

    References:
      Holm 1979, `A simple sequentially rejective multiple test procedure <https://www.jstor.org/stable/4615733>`_.
    """
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        largest = max(largest, min((len(values) - rank) * values[index], 1.0))
        corrected[index] = largest
    return corrected


def _row(name, run, labels, summary, control, watch, columns, agrees) -> tuple[str, ...]:
    seeds, keys = run["seeds"], (f"test/{watch}", f"test/{watch}_best")
    compared = control is not None and control in summary and name != control
    agreement = [f"{100 * Estimate.over_seeds(seeds, 'agreement').mean:.2f} %"] if agrees else []
    gains = (Estimate.paired(seeds, summary[control]["seeds"], key).percent("+") if compared else "" for key in keys)
    return (
        labels.get(name) or name,
        f"{run['params']:,}",
        f"{run['mflops']:.2f}",
        *(Estimate.over_seeds(seeds, key).percent() for key in keys),
        *agreement,
        *(f"{Estimate.over_seeds(seeds, f'test/{metric}').mean:.4f}" for metric in columns),
        *gains,
    )
