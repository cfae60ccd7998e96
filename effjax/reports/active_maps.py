"""What labelling loops asked for and what they made of it: classes by round, dataset maps, as PNG bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from effjax.reports.figures import grid, png, wrapped

_MOST_CLASSES = 100  # rows of a map: a vocabulary has thousands
_MOST_NUMBERS = 160  # cells of a panel that numbers can be read in


def queried_classes(counts: Mapping[str, np.ndarray], class_names: Sequence[str]) -> bytes:
    """Draws a heat map a run: how many labels of each class came in each round; of many classes, of the most frequent.

    Args:
      counts: by run ``[R, K]``, rounds and classes; not all of as many rounds.
      class_names: in the order of the labels.
    """
    counts, class_names = _most_frequent(counts, class_names)
    columns = min(3, len(counts))
    height = max(1.8, 0.21 * len(class_names) + 0.7)
    figure, axes = grid(len(counts), columns, 12.0 / 3, height, sharey=True)
    most = max(found.max() for found in counts.values())
    for axis, (label, found) in zip(axes, counts.items(), strict=False):
        axis.imshow(found.T, cmap="Blues", vmin=0, vmax=most, aspect="auto")
        if found.size <= _MOST_NUMBERS:
            for (round_, class_), count in np.ndenumerate(found):
                ink = "white" if count > 0.5 * most else "0.1"
                axis.text(round_, class_, f"{count:.0f}", ha="center", va="center", color=ink, fontsize=6)
        axis.set_title(wrapped(label, 50), size="small")
        axis.set_yticks(range(len(class_names)), class_names, fontsize="x-small")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.tick_params(axis="x", labelsize="x-small")
    figure.supxlabel("round", size="small")
    return png(figure)


def _most_frequent(
    counts: Mapping[str, np.ndarray], class_names: Sequence[str]
) -> tuple[Mapping[str, np.ndarray], Sequence[str]]:
    """The classes that most labels of all runs are of, in their order, and all others as one."""
    if len(class_names) <= _MOST_CLASSES:
        return counts, class_names
    totals = np.sum([found.sum(0) for found in counts.values()], axis=0)
    shown = np.sort(np.argsort(-totals, kind="stable")[: _MOST_CLASSES - 1])
    others = np.setdiff1d(np.arange(len(class_names)), shown)
    cut = {label: np.column_stack([one[:, shown], one[:, others].sum(1)]) for label, one in counts.items()}
    return cut, [*(class_names[int(class_)] for class_ in shown), f"{len(others):,} others"]


def dataset_maps(maps: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Draws a map a run: each labelled example by its variability and its confidence, coloured by its correctness.

    Args:
      maps: by run ``confidence``, ``variability`` and ``correctness`` ``[N]``, and ``removed``, ``[N]`` booleans.

    References:
      Swayamdipta et al., `Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics
      <https://arxiv.org/abs/2009.10795>`_, 2020, fig. 1.
    """
    columns = min(3, len(maps))
    figure, axes = grid(len(maps), columns, 4.2, 3.8, sharex=True, sharey=True)
    for axis, (label, found) in zip(axes, maps.items(), strict=False):
        x, y, gone = found["variability"], found["confidence"], np.asarray(found["removed"], bool)
        dots = axis.scatter(
            x, y, c=found["correctness"], cmap="coolwarm_r", vmin=0, vmax=1, s=14, linewidths=0, alpha=0.8
        )
        if gone.any():
            axis.scatter(
                x[gone], y[gone], marker="x", color="black", s=26, linewidths=1.1, label=f"removed: {gone.sum()}"
            )
            axis.legend(loc="lower right", frameon=False, fontsize="small")
        axis.set(
            title=wrapped(label, 40), xlabel="variability", ylabel="confidence", xlim=(-0.01, 0.51), ylim=(-0.02, 1.02)
        )
        axis.title.set_size("medium")
        axis.label_outer()
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    plt.colorbar(dots, ax=axes, label="correctness", shrink=0.6, aspect=30)
    return png(figure)
