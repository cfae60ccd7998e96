"""Learning curves of labelling loops, as PNG bytes."""

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from effjax.reports.active_curves import MeanCurve, column, mean_curve
from effjax.reports.figures import beside_legend, colours, grid, png, wrapped

_CONTROL = {"color": "0.45", "linestyle": "--"}
_OWN = "#3b6fd4"
_BANDS = 4  # runs whose intervals can be told apart in one panel
_MOST_COLUMNS = 5
_WIDTH, _HEIGHT, _PANEL = 12.0, 4.8, 2.3  # inches


def learning_curves(
    summary: Mapping[str, Any],
    labels: Mapping[str, str],
    control: str | None,
    x: str,
    y: str,
    titles: Mapping[str, str],
) -> bytes:
    """Draws all runs in one panel, and then each against the control in a panel of its own.

    Lines are means over seeds, bands their 95 % intervals (Student's t), thin lines single seeds. In the first panel
    there are bands only if the runs are few. A band that is far taller than the curves, as two seeds' may be, is cut.

    Args:
      summary: by run ``seeds``, each with ``rounds``, one at least.
      labels: what the legend calls the runs.
      control: the run that is drawn dashed and grey, if any.
      x: what the curves are drawn over, ``"labels"`` or ``"cost"``.
      y: the accuracy that is drawn.
      titles: what the axes call ``x`` and ``y``.
    """
    curves = {name: mean_curve(run["seeds"], x, y) for name, run in summary.items()}
    others = [name for name in summary if name != control]
    compared = control if control in summary else None
    rows = -(-len(others) // _MOST_COLUMNS) if compared else 0
    heights = [beside_legend(_HEIGHT, len(summary)), *([_PANEL * rows] if rows else [])]
    figure = plt.figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel()
    values = np.concatenate([column(seed["rounds"], y) for run in summary.values() for seed in run["seeds"]])
    _cut(_overview(parts[0], curves, labels, control, titles[x], titles[y]), values)
    if compared and rows:
        columns = -(-len(others) // rows)
        panels = list(parts[1].subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
        for axis, name in zip(panels, others, strict=False):
            _panel(axis, summary[name]["seeds"], curves[name], curves[compared], x, y)
            axis.set_title(wrapped(labels.get(name) or name, 32), size="small")
        _cut(panels[0], values)  # they share their axes
        for axis in panels[len(others) - columns :]:  # those with nothing below them
            axis.tick_params(labelbottom=True)
        for axis in panels[len(others) :]:
            axis.axis("off")
        parts[1].supxlabel(f"each against {labels.get(compared) or compared} (dashed)", size="small", color="0.35")
    return png(figure)


def calibration_curves(summary: Mapping[str, Any], labels: Mapping[str, str], control: str | None, split: str) -> bytes:
    """Draws the expected calibration error by the number of labels, before temperature scaling and after.

    Args:
      summary: by run ``seeds``, each with ``rounds``, one at least.
      labels: what the legend calls the runs.
      control: the run that is drawn dashed and grey, if any.
      split: ``"test"`` or ``"validation"``.
    """
    figure, axes = grid(2, 2, _WIDTH / 2, beside_legend(4.0, len(summary)), sharey=True)
    panels = {f"{split}/ece": "as trained", f"{split}/ece_scaled": "with the temperature fitted on validation"}
    for axis, (key, title) in zip(axes, panels.items(), strict=True):
        _lines(axis, {name: mean_curve(run["seeds"], "labels", key) for name, run in summary.items()}, labels, control)
        axis.set(title=title, xlabel="labels")
        _tidy(axis)
    axes[0].set(ylabel=f"{split} ECE", ylim=(0, None))
    _legend(figure, axes[0])
    return png(figure)


def _overview(figure, curves: Mapping[str, MeanCurve], labels, control, x_title: str, y_title: str):
    axis = figure.subplots()
    _lines(axis, curves, labels, control)
    if len(curves) <= _BANDS:
        for line, curve in zip(axis.get_lines(), curves.values(), strict=True):
            _band(axis, curve, line.get_color())
    axis.set(xlabel=x_title, ylabel=y_title)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    _tidy(axis)
    _legend(figure, axis)
    return axis


def _lines(axis, curves: Mapping[str, MeanCurve], labels, control) -> None:
    """The means, each with the colour that its run has in every figure."""
    others = [name for name in curves if name != control]
    colour_of = dict(zip(others, colours(len(others)), strict=True))
    for name, curve in curves.items():
        style = {**_CONTROL, "linewidth": 2.2, "zorder": 3} if name == control else {"color": colour_of[name]}
        axis.plot(curve.at, curve.mean, marker=".", markersize=4, label=labels.get(name) or name, **style)


def _legend(figure, axis) -> None:
    """Beside the panels, in the order in which the lines end: they are found by their place."""
    lines = sorted(axis.get_lines(), key=lambda line: -line.get_ydata()[-1] if len(line.get_ydata()) else 0.0)
    figure.legend(handles=lines, loc="outside right upper", frameon=False, fontsize="small")


def _panel(axis, seeds, curve: MeanCurve, control: MeanCurve, x: str, y: str) -> None:
    """One run and the control."""
    for seed in seeds if len(seeds) > 1 else ():
        axis.plot(column(seed["rounds"], x), column(seed["rounds"], y), color=_OWN, alpha=0.3, linewidth=0.6)
    _band(axis, control, _CONTROL["color"])
    axis.plot(control.at, control.mean, **_CONTROL, linewidth=1.4)
    _band(axis, curve, _OWN)
    axis.plot(curve.at, curve.mean, color=_OWN, marker=".", markersize=3)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    _tidy(axis)


def _band(axis, curve: MeanCurve, colour) -> None:
    if curve.half is not None:
        low, high = curve.mean - curve.half, curve.mean + curve.half
        axis.fill_between(curve.at, low, high, color=colour, alpha=0.18, linewidth=0)


def _cut(axis, values: np.ndarray) -> None:
    """Ends an axis half the height of the values beyond them, where it goes further."""
    (bottom, top), room = axis.get_ylim(), max(np.ptp(values) / 2, 0.01)
    axis.set_ylim(max(bottom, values.min() - room), min(top, values.max() + room))


def _tidy(axis) -> None:
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
