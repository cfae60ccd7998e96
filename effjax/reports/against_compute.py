"""Accuracy against compute: what methods gain over a baseline that is only made shorter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt
from matplotlib.ticker import ScalarFormatter

from effjax.files import write_whole
from effjax.reports.figures import colours, png


def plot_against_compute(
    path: str | Path,
    compute: Mapping[str, float],
    summary: Mapping[str, Any],
    labels: Mapping[str, str],
    lengths: Sequence[str],
    key: str,
) -> None:
    """Draws a dot a run, the mean over its seeds with the span of these, and a line through the baseline's lengths.

    Runs that cost the same are drawn a little beside one another.

    Args:
      path: the PNG to write.
      compute: by run, over the control's.
      summary: by run ``seeds``.
      labels: what the legend calls the runs.
      lengths: the runs that the line goes through: the same run, of several lengths.
      key: the accuracy that is meant.
    """
    values = {name: 100 * np.array([seed[key] for seed in summary[name]["seeds"]]) for name in compute}
    others = [name for name in compute if name not in lengths]
    figure, axis = plt.subplots(figsize=(9.5, max(4.0, 0.24 * len(others) + 1.5)), layout="constrained")
    line = sorted(lengths, key=lambda name: compute[name])
    means = [values[name].mean() for name in line]
    axis.plot(
        [compute[name] for name in line], means, "o-", color="0.3", linewidth=1.5, label="baseline, by its length"
    )
    axis.fill_between(
        [compute[name] for name in line],
        [values[name].min() for name in line],
        [values[name].max() for name in line],
        color="0.3",
        alpha=0.12,
        linewidth=0,
    )
    beside = {name: 1.025 ** (place - (len(others) - 1) / 2) for place, name in enumerate(others)}
    for colour, name in zip(colours(len(others)), others, strict=True):
        mean = values[name].mean()
        span = [[mean - values[name].min()], [values[name].max() - mean]]
        axis.errorbar(
            compute[name] * beside[name], mean, yerr=span, fmt="D", color=colour, markersize=5, capsize=2, alpha=0.85
        )
        axis.plot([], [], "D", color=colour, label=labels.get(name) or name)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(ScalarFormatter())
    axis.set(xlabel="compute, over the control's", ylabel=f"{key.removesuffix('_best').replace('/', ' ')} (%)")
    axis.grid(alpha=0.25, which="both")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    write_whole(path, lambda file: file.write(png(figure)))
