"""Test error of many seeds at a glance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt

from effjax.files import write_whole
from effjax.reports.figures import png


def plot_boxes(
    path: str | Path,
    summary: Mapping[str, Any],
    labels: Mapping[str, str],
    control: str | None,
    key: str,
    metric: str = "",
) -> None:
    """Draws a box a run: quartiles, whiskers up to 1.5 times their distance away, what lies beyond as dots.

    Args:
      path: the PNG to write.
      summary: by run its ``seeds``.
      labels: what the axis calls the runs.
      control: the run whose median the dashed line marks, if any.
      key: the accuracy that is meant.
      metric: what the axis calls what is missing to 1 in it; empty: the error.
    """
    errors = {name: [100 * (1 - seed[key]) for seed in run["seeds"]] for name, run in summary.items()}
    figure, axis = plt.subplots(figsize=(1.5 + 0.75 * len(summary), 4.8), layout="constrained")
    axis.boxplot(
        list(errors.values()),
        tick_labels=[labels.get(name) or name for name in errors],
        patch_artist=True,
        boxprops={"facecolor": "#cfe0f3", "edgecolor": "0.3"},
        medianprops={"color": "C3"},
        flierprops={"marker": "o", "markersize": 3, "markeredgecolor": "0.4"},
    )
    if control in errors:
        axis.axhline(np.median(errors[control]), color="0.4", linestyle="--", linewidth=1)
    axis.set_ylabel(f"1 − {metric} (%)" if metric else "test error (%)")
    axis.tick_params(axis="x", rotation=35)
    for tick in axis.get_xticklabels():
        tick.set_horizontalalignment("right")
    axis.grid(alpha=0.25, axis="y")
    axis.spines[["top", "right"]].set_visible(False)
    write_whole(path, lambda file: file.write(png(figure)))
