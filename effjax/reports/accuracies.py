"""Test accuracy of many runs at a glance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt

from effjax.files import write_whole
from effjax.reports.figures import png
from effjax.reports.tables import Estimate


def plot_accuracies(
    path: str | Path,
    summary: Mapping[str, Any],
    labels: Mapping[str, str],
    control: str | None,
    key: str,
    metric: str = "",
) -> None:
    """Draws a line a run: every seed a dot, and for runs like the control the interval of the difference to it.

    The interval, of 95 %, lies around the run's mean.

    Args:
      path: the PNG to write.
      summary: by run ``params`` and ``seeds``.
      labels: what the axis calls the runs.
      control: the run that the dashed line marks, if any.
      key: the accuracy that is meant.
      metric: what the axis calls it; empty: as the key does.
    """
    figure, axis = plt.subplots(figsize=(9.0, 1.0 + 0.34 * len(summary)), layout="constrained")
    for row, run in enumerate(summary.values()):
        values = 100 * np.array([seed[key] for seed in run["seeds"]])
        axis.plot(values, np.full(len(values), row), "o", color="C0", alpha=0.35, markersize=5, markeredgewidth=0)
        spread = None
        if control is not None and control in summary and run is not summary[control]:
            spread = Estimate.paired(run["seeds"], summary[control]["seeds"], key).spread
        error = None if spread is None else 100 * spread
        axis.errorbar(values.mean(), row, xerr=error, fmt="D", color="C0", markersize=5, capsize=3)
    if control is not None and control in summary:
        mean = float(100 * np.mean([seed[key] for seed in summary[control]["seeds"]]))
        axis.axvline(mean, color="0.4", linestyle="--", linewidth=1)
    axis.set_yticks(range(len(summary)), [labels.get(name) or name for name in summary])
    axis.invert_yaxis()
    metric = metric or key.removesuffix("_best").replace("/", " ")
    axis.set_xlabel(f"{metric}, {'best' if key.endswith('_best') else 'last'} (%)")
    bar = "; bar: 95 % interval of the difference to the dashed control" if control in summary else ""
    figure.suptitle(f"dots: seeds; diamond: mean{bar}", fontsize="small", color="0.35")
    axis.grid(alpha=0.25, axis="x")
    axis.spines[["top", "right"]].set_visible(False)
    write_whole(path, lambda file: file.write(png(figure)))
