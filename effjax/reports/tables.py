"""Tables of runs over seeds, as text and as rows for the report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_HEADERS = ("run", "parameters", "MFLOPs/image", "test acc. last", "test acc. best", "agreement", "ECE", "Δ to control")


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean and spread over seeds.

    Attributes:
      mean: over the seeds.
      spread: the sample standard deviation, or for a difference its standard error; None for a single seed.
    """

    mean: float
    spread: float | None

    @classmethod
    def over_seeds(cls, seeds: Sequence[Mapping[str, Any]], key: str) -> "Estimate":
        """Mean and sample standard deviation of a value."""
        return cls.of([seed[key] for seed in seeds])

    @classmethod
    def paired(cls, ours: Sequence[Mapping[str, Any]], control: Sequence[Mapping[str, Any]], key: str) -> "Estimate":
        """Mean and standard error of the difference to the control, seed by seed."""
        theirs = {seed["seed"]: seed[key] for seed in control}
        difference = cls.of([seed[key] - theirs[seed["seed"]] for seed in ours])
        error = None if difference.spread is None else float(difference.spread / np.sqrt(len(ours)))
        return cls(difference.mean, error)

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        values = np.asarray(values, np.float64)
        return cls(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)

    def percent(self, sign: str = "") -> str:
        spread = "" if self.spread is None else f" ± {100 * self.spread:.2f}"
        return f"{100 * self.mean:{sign}.2f}{spread} %"


def rows(summary: Mapping[str, Any], labels: Mapping[str, str], control: str | None) -> list[tuple[str, ...]]:
    """One row a run.

    Args:
      summary: by run ``params``, ``mflops`` and ``seeds``.
      labels: what the table calls the runs.
      control: the run that others are compared with, seed by seed; None compares none.

    Returns:
      Cells, in the order of :func:`headers`.
    """
    return [_row(name, run, labels, summary, control) for name, run in summary.items()]


def headers() -> tuple[str, ...]:
    return _HEADERS


def text(summary: Mapping[str, Any], labels: Mapping[str, str], control: str | None) -> str:
    """The table as aligned text: mean ± standard deviation over the seeds, the difference ± its standard error."""
    lines = [_HEADERS, *rows(summary, labels, control)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADERS))]

    def join(line: Sequence[str]) -> str:
        padded = [cell.rjust(width) for cell, width in zip(line, widths, strict=True)]
        return "  ".join([line[0].ljust(widths[0]), *padded[1:]])

    return "\n".join([join(lines[0]), "  ".join("-" * width for width in widths), *map(join, lines[1:])])


def markdown(summary: Mapping[str, Any], labels: Mapping[str, str], control: str | None) -> str:
    """The same table in Markdown."""
    lines = [_HEADERS, ("---", *["---:"] * (len(_HEADERS) - 1)), *rows(summary, labels, control)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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
        Estimate.paired(seeds, summary[control]["seeds"], "test_accuracy").percent("+") if compared else "",
    )
