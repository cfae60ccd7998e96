"""What accuracy costs in bytes and in milliseconds: a point a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter, ScalarFormatter
from matplotlib.transforms import Bbox

from effjax.files import write_whole
from effjax.reports.figures import png
from effjax.reports.tables import Estimate

_PANELS = {"bytes_zipped": "kB, zipped", "latency": "ms for one image, median"}
#: Where a label may stand about its point, in points: the first place that is free is taken.
_PLACES = tuple(
    (x * reach, y * reach)
    for reach in (7, 14, 24, 38, 55)
    for x, y in ((1, 0.6), (1, -1.2), (-1, 0.6), (-1, -1.2), (0, 1.2), (0, -1.8))
)


def plot_tradeoffs(path: str | Path, summary: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> None:
    """Draws the accuracy of files against their zipped bytes and against how long they take.

    A dashed line joins the files that no other beats in both; bars are standard deviations over seeds.

    Args:
      path: the PNG to write.
      summary: by export ``bits``, ``latency`` and ``seeds``.
      labels: what the points are called.
    """
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(13.0, 5.2), layout="constrained", sharey=True)
    accuracies = {name: Estimate.over_seeds(export["seeds"], "accuracy") for name, export in summary.items()}
    kinds = sorted({export["bits"] for export in summary.values()}, key=lambda bits: (bits != "float32", bits))
    colour_of = {bits: f"C{i}" for i, bits in enumerate(kinds)}
    for axis, (key, title) in zip(axes, _PANELS.items(), strict=True):
        costs = {name: _cost(export, key) for name, export in summary.items()}
        for name, export in summary.items():
            spread = accuracies[name].spread
            axis.errorbar(
                costs[name],
                100 * accuracies[name].mean,
                yerr=None if spread is None else 100 * spread,
                fmt="o",
                color=colour_of[export["bits"]],
                capsize=2,
                elinewidth=1,
                markersize=6,
            )
        axis.set(xscale="log", xlabel=title)
        for along in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
            along(ScalarFormatter())
        axis.grid(alpha=0.25, which="both")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.18, y=0.12)
        best = unbeaten([(costs[name], accuracies[name].mean) for name in summary])
        axis.plot(*zip(*((x, 100 * y) for x, y in best), strict=True), "--", color="0.6", linewidth=1, zorder=0)
    axes[0].set_ylabel("test accuracy (%)")
    handles = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in colour_of.values()]
    names = ["float" if bits == "float32" else bits for bits in colour_of]
    figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False)
    figure.draw_without_rendering()  # labels are placed where the axes then are
    for axis, key in zip(axes, _PANELS, strict=True):
        if np.ptp(np.log10(axis.get_xlim())) > 1.2:  # decades are enough
            axis.xaxis.set_minor_formatter(NullFormatter())
        points = [(_cost(export, key), 100 * accuracies[name].mean) for name, export in summary.items()]
        _label(axis, points, [labels[name] for name in summary])
    write_whole(path, lambda file: file.write(png(figure)))


def unbeaten(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both, by cost.

    Args:
      points: ``(cost, accuracy)``.
    """
    found: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or accuracy > found[-1][1]:
            found.append((cost, accuracy))
    return found


def _cost(export: Mapping[str, Any], key: str) -> float:
    if key == "latency":
        return export["latency"]["1"]["median"]
    return Estimate.over_seeds(export["seeds"], key).mean / 1e3


def _label(axis: Any, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Writes each point's label where nothing is yet; where everything is taken, at the last place."""
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in axis.transData.transform(points)]
    inside = axis.get_window_extent()
    for point, label in zip(points, labels, strict=True):
        text: Any = None
        for x, y in _PLACES:
            if text is not None:
                text.remove()
            side = "left" if x > 0 else "right" if x < 0 else "center"
            arrow = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.7} if abs(y) > 12 else None
            text = axis.annotate(
                label, point, (x, y), textcoords="offset points", ha=side, fontsize="small", arrowprops=arrow
            )
            box = text.get_window_extent()
            within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
            if within and not any(box.overlaps(other) for other in taken):
                break
        taken.append(text.get_window_extent())
