"""Learning curves over seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from effjax.files import write_whole
from effjax.reports.figures import beside_legend, colours, png

Series = Mapping[str, Sequence[Sequence[Mapping[str, float]]]]


def plot_curves(path: str | Path, series: Series, panels: Mapping[str, str], labels: Mapping[str, str]) -> None:
    """Draws one panel a metric: a line a run, the mean over its seeds, and a band from the lowest to the highest.

    Args:
      path: the PNG to write.
      series: by run, for every seed, the lines of its metrics file.
      panels: by metric (a key of those lines), the title of its panel.
      labels: what the legend calls the runs.
    """
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(5.0 * len(panels) + 2.4, beside_legend(3.8, len(series))),
        squeeze=False,
        layout="constrained",
    )
    colour_of = dict(zip(series, colours(len(series)), strict=True))
    for axis, (metric, title) in zip(axes[0], panels.items(), strict=True):
        for name, seeds in series.items():
            progress, values = _aligned(seeds, metric)
            if not len(progress):  # a run without this term
                continue
            axis.plot(progress, values.mean(0), color=colour_of[name], label=labels.get(name) or name, linewidth=1.8)
            axis.fill_between(progress, values.min(0), values.max(0), color=colour_of[name], alpha=0.15, linewidth=0)
        _zoom(axis, metric)
        axis.set(title=title, xlabel="share of the run (%)")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    # Beside the panels: a search has dozens of runs, and they must not be squeezed.
    fullest = max(axes[0], key=lambda axis: len(axis.get_lines()))
    figure.legend(*fullest.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize="small")
    write_whole(path, lambda file: file.write(png(figure)))


def _aligned(seeds: Sequence[Sequence[Mapping[str, float]]], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Runs differ in length: their curves share the axis of progress. A step that one seed has lost is left out."""
    curves = [{line["step"]: line[metric] for line in seed if metric in line} for seed in seeds]
    curves = [curve for curve in curves if curve]
    steps = np.array(sorted(set.intersection(*map(set, curves))) if curves else [], int)
    return 100 * steps / max(steps, default=1), np.array([[curve[step] for step in steps] for curve in curves])


def _zoom(axis, metric: str) -> None:
    """What matters is the difference at the end, not the way up from chance, nor the fall from the first loss."""
    if not axis.get_lines():
        return
    ends = np.concatenate([line.get_ydata()[len(line.get_ydata()) // 4 :] for line in axis.get_lines()])
    margin = 0.15 * (ends.max() - ends.min() + 1e-3)
    if metric.endswith("accuracy"):
        axis.set_ylim(ends.min() - margin, min(ends.max() + margin, 1.0))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axis.set_ylim(0, ends.max() + margin)
