"""Tables of runs over seeds, as text and as rows for the report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit  # of scipy.stats the import alone takes a second

_HEADERS = ("run", "parameters", "MFLOPs/image", "test acc. last", "best", "agreement", "ECE", "Δ last", "Δ best")
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
        theirs = {seed["seed"]: seed[key] for seed in control}
        return cls.interval([seed[key] - theirs[seed["seed"]] for seed in ours if seed["seed"] in theirs])

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
        values = np.asarray(values, np.float64)
        return cls(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)

    def percent(self, sign: str = "") -> str:
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

    def without(self, header: str) -> "Table":
        """All columns but one."""
        at = self.headers.index(header)
        headers, *rows = ([*line[:at], *line[at + 1 :]] for line in (self.headers, *self.rows))
        return Table(headers, rows)

    def markdown(self) -> str:
        lines = [self.headers, ("---", *["---:"] * (len(self.headers) - 1)), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def averaged_over(seeds: Sequence[int]) -> str:
    """A note's first words: what the numbers of a table are of."""
    if len(seeds) == 1:
        return f"Seed {seeds[0]} alone."
    return f"Mean ± standard deviation over the seeds {', '.join(map(str, seeds))}."


def results(
    summary: Mapping[str, Any], labels: Mapping[str, str], control: str | None, *, agreement: bool = True
) -> Table:
    """One row a run: mean ± standard deviation over the seeds, differences ± half their 95 % interval.

    Args:
      summary: by run ``params``, ``mflops`` and ``seeds``.
      labels: what the table calls the runs.
      control: the run that others are compared with, seed by seed; None compares none.
      agreement: whether there are teachers that runs may agree with.
    """
    rows = [_row(name, run, labels, summary, control) for name, run in summary.items()]
    table = Table(_HEADERS, rows)
    return table if agreement else table.without("agreement")


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
      A row a claim: the mean difference of the runs with its 95 % interval, and a verdict:
      *holds* or *the opposite holds* where the interval does not contain zero, *not told apart* where it does. Each
      interval is for its claim alone.
    """
    rows = []
    for claim, run, other in made:
        gain = Estimate.paired(summary[run]["seeds"], summary[other]["seeds"], key)
        pair = f"{labels.get(run) or run} − {labels.get(other) or other}"
        rows.append((claim, pair, gain.percent("+"), _verdict(gain)))
    return Table(("claim", "runs", "difference", "verdict"), rows)


def _verdict(gain: Estimate) -> str:
    if gain.spread is None or abs(gain.mean) <= gain.spread:
        return "not told apart"
    return "holds" if gain.mean > 0 else "the opposite holds"


def _row(name, run, labels, summary, control) -> tuple[str, ...]:
    seeds = run["seeds"]
    compared = control is not None and control in summary and name != control
    return (
        labels.get(name) or name,
        f"{run['params']:,}",
        f"{run['mflops']:.2f}",
        Estimate.over_seeds(seeds, "test_accuracy").percent(),
        Estimate.over_seeds(seeds, "test_accuracy_best").percent(),
        f"{100 * Estimate.over_seeds(seeds, 'agreement').mean:.2f} %",
        f"{Estimate.over_seeds(seeds, 'ece').mean:.4f}",
        *(
            Estimate.paired(seeds, summary[control]["seeds"], key).percent("+") if compared else ""
            for key in ("test_accuracy", "test_accuracy_best")
        ),
    )
