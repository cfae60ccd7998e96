"""Accuracy against compute: what methods gain over a baseline that is only made shorter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from effjax.files import write_whole
from effjax.reports.figures import colours, png


def plot_against_compute(
    path: str | Path,
    compute: Mapping[str, float],
    summary: Mapping[str, Any],
    labels: Mapping[str, str],
    methods: Sequence[Sequence[str]],
    key: str,
    metric: str = "",
) -> None:
    """Draws the mean over a run's seeds with their span: a line through the lengths of a method, a dot for one alone.

    Methods of one length are drawn a little beside one another, for many of them cost the same.

    Args:
      path: the PNG to write.
      compute: by run, over the control's.
      summary: by run ``seeds``.
      labels: what runs are called; a method is called by what its runs' labels begin with.
      methods: the runs of each, which differ in length alone; the baseline first.
      key: the accuracy that is meant.
      metric: what the axis calls it; empty: as the key does.
    """
    values = {name: 100 * np.array([seed[key] for seed in summary[name]["seeds"]]) for name in compute}
    figure, axis = plt.subplots(figsize=(9.5, max(4.0, 0.24 * len(methods) + 1.5)), layout="constrained")
    alone = [method for method in methods if len(method) == 1]
    for colour, method in zip(["0.3", *colours(len(methods) - 1)], methods, strict=True):
        runs = sorted(method, key=lambda name: compute[name])
        called = _beginning([labels.get(name) or name for name in runs]) or runs[0]
        beside = 1.025 ** (alone.index(method) - (len(alone) - 1) / 2) if method in alone else 1.0
        x, means = [compute[name] * beside for name in runs], [values[name].mean() for name in runs]
        low, high = ([bound(values[name]) for name in runs] for bound in (np.min, np.max))
        if method in alone:
            span = [[means[0] - low[0]], [high[0] - means[0]]]
            axis.errorbar(x, means, yerr=span, fmt="D", color=colour, markersize=5, capsize=2, alpha=0.85, label=called)
        else:
            axis.plot(x, means, "o-", color=colour, linewidth=1.5, label=called)
            axis.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    metric = metric or key.removesuffix("_best").replace("/", " ")
    moved = "; single dots are moved aside, to be told apart" if len(alone) > 1 else ""
    axis.set(xlabel=f"compute, over the control's{moved}", ylabel=f"{metric} (%)")
    axis.grid(alpha=0.25, which="both")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    write_whole(path, lambda file: file.write(png(figure)))


def _beginning(labels: Sequence[str]) -> str:
    """What all labels begin with, without a comma or a space after it."""
    first, last = min(labels), max(labels)  # of an order by letters: what these share, all do
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same].rstrip(" ,:")
