"""What accuracy costs in bytes and in milliseconds: a point a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from effjax.files import write_whole
from effjax.reports.figures import png
from effjax.reports.tables import Estimate

_PANELS = {"bytes_zipped": "kB, zipped", "latency": "ms for one image, least"}
#: Where a label may begin, seen from its point, near places first, those to the right and the left before others.
_ANGLES = np.deg2rad([0, 180, 20, -20, 160, -160, 40, -40, 140, -140, 65, -65, 115, -115, 90, -90])
_PLACES = [(r * np.cos(a), r * np.sin(a)) for r in (9, 15, 23, 33, 45, 60, 80, 105, 135, 170) for a in _ANGLES]


def plot_tradeoffs(path: str | Path, summary: Mapping[str, Mapping[str, Any]], labels: Mapping[str, str]) -> None:
    """Draws the accuracy of files against their zipped bytes and against how long they take.

    A dashed line joins the files that no other beats in both; bars are standard deviations over seeds.

    Args:
      path: the PNG to write.
      summary: by export ``bits``, ``latency`` and ``seeds``.
      labels: what the points are called.
    """
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(13.0, 6.0), layout="constrained", sharey=True)
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
        is_wide = max(costs.values()) > 300 * min(costs.values())  # where so many numbers would run into one another
        axis.xaxis.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5)))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(alpha=0.25, which="both")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.22, y=0.15)
        best = unbeaten([(costs[name], accuracies[name].mean) for name in summary])
        axis.plot(*zip(*((x, 100 * y) for x, y in best), strict=True), "--", color="0.6", linewidth=1, zorder=0)
    axes[0].set_ylabel("test accuracy (%)")
    handles = [Line2D([], [], marker="o", linestyle="", color=colour) for colour in colour_of.values()]
    names = ["float" if bits == "float32" else bits for bits in colour_of]
    figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # labels are placed where the axes now are
    for axis, key in zip(axes, _PANELS, strict=True):
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
        return export["latency"]["1"]["least"]
    return Estimate.over_seeds(export["seeds"], key).mean / 1e3


def _label(axis: Any, points: Sequence[tuple[float, float]], labels: Sequence[str]) -> None:
    """Writes each point's label at the first place where nothing is yet, or where it covers least."""
    dots = axis.transData.transform(points)
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in dots]
    inside, unit = axis.get_window_extent(), axis.figure.dpi / 72
    for point, dot, label in zip(points, dots, labels, strict=True):
        text = axis.annotate(label, point, (0, 0), textcoords="offset points", va="center", fontsize="small")
        size = text.get_window_extent()
        boxes = [_box(dot, unit, place, size) for place in _PLACES]
        covered = [_covered(box, taken, inside) for box in boxes]
        best = int(np.argmin(covered))
        text.set_position(_PLACES[best])
        text.set_horizontalalignment(_side(_PLACES[best][0]))
        if np.hypot(*_PLACES[best]) > 16:
            line = {"arrowstyle": "-", "color": "0.7", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 4}
            axis.annotate("", point, _PLACES[best], textcoords="offset points", arrowprops=line)
        taken.append(boxes[best])


def _side(x: float) -> str:
    return "left" if x > 1 else "right" if x < -1 else "center"


def _box(dot: np.ndarray, unit: float, place: tuple[float, float], size: Bbox) -> Bbox:
    """Where a label is, in pixels, whose end lies at a place beside a dot."""
    begin = {"left": 0.0, "center": 0.5, "right": 1.0}[_side(place[0])] * size.width
    x, y = dot + unit * np.array(place)
    return Bbox.from_bounds(x - begin, y - size.height / 2, size.width, size.height)


def _covered(box: Bbox, taken: Sequence[Bbox], inside: Bbox) -> float:
    """How much of what is there already, and of what lies outside, a label would cover."""
    common = (Bbox.intersection(box, other) for other in taken)
    within = Bbox.intersection(box, inside)
    outside = box.width * box.height - (within.width * within.height if within else 0.0)
    return outside + sum(one.width * one.height for one in common if one)
