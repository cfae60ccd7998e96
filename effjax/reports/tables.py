"""Tables of runs over seeds, as text and as rows for the report."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student_t

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
        """Mean difference to the control, seed by seed, and half of its 95 % interval by Student's t."""
        theirs = {seed["seed"]: seed[key] for seed in control}
        return cls.interval([seed[key] - theirs[seed["seed"]] for seed in ours])

    @classmethod
    def interval(cls, values: Sequence[float]) -> "Estimate":
        """Mean and half of its 95 % interval, by Student's t."""
        found = cls.of(values)
        if found.spread is None:
            return found
        quantile = student_t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
        return cls(found.mean, float(quantile * found.spread / np.sqrt(len(values))))

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
    """The table as aligned text: mean ± standard deviation over the seeds, differences ± half their 95 % interval."""
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
        *(
            Estimate.paired(seeds, summary[control]["seeds"], key).percent("+") if compared else ""
            for key in ("test_accuracy", "test_accuracy_best")
        ),
    )


def claims(summary: Mapping[str, Any], labels: Mapping[str, str], made: Sequence[tuple[str, str, str]]) -> list[str]:
    """What the seeds say of claims, as a Markdown table.

    Args:
      summary: by run its ``seeds``.
      labels: what the table calls the runs.
      made: ``(claim, run, run that it is said to beat)``.

    Returns:
      Lines: the claim, the runs, the mean difference of their last test accuracies with its 95 % interval, and a
      verdict: *holds* or *the opposite holds* where the interval does not contain zero, *not told apart* where it does.
      Each interval is for its claim alone.
    """
    lines = ["| claim | runs | difference | verdict |", "| --- | --- | ---: | --- |"]
    for claim, run, other in made:
        gain = Estimate.paired(summary[run]["seeds"], summary[other]["seeds"], "test_accuracy")
        pair = f"{labels.get(run) or run} − {labels.get(other) or other}"
        lines.append(f"| {claim} | {pair} | {gain.percent('+')} | {_verdict(gain)} |")
    return lines


def _verdict(gain: Estimate) -> str:
    if gain.spread is None or abs(gain.mean) <= gain.spread:
        return "not told apart"
    return "holds" if gain.mean > 0 else "the opposite holds"
