"""Pictures of an analysis, as PNG bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt

from effjax.reports.figures import grid, png, wrapped

Measure = Mapping[str, Any]


def differences(measures: Sequence[Measure]) -> bytes:
    """Every share's difference to the controls with its interval: one line a measure, one mark a network."""
    lines = [m for m in measures if m["unit"] == "share" and any(row["difference"] for row in m["rows"])]
    rows = {row["network"]: row["role"] for m in lines for row in m["rows"]}
    figure, axis = plt.subplots(figsize=(11, 1.2 + 0.48 * len(lines)), layout="constrained")
    for i, (network, role) in enumerate(rows.items()):
        offset = 0.6 * ((i + 0.5) / len(rows) - 0.5)
        found = [(y, row["difference"]) for y, m in enumerate(lines) for row in m["rows"] if row["network"] == network]
        found = [(y + offset, difference) for y, difference in found if difference]
        low, value, high = (100 * np.array([d[end] for _, d in found]) for end in ("low", "value", "high"))
        style: dict[str, Any] = (
            {"color": "0.6", "fmt": "s", "markersize": 4} if role == "control" else {"color": f"C{i}", "fmt": "o"}
        )
        style["label"] = f"{network} ({role})"
        axis.errorbar(value, [y for y, _ in found], xerr=[value - low, high - value], **style)
    axis.axvline(0, color="0.3", linewidth=1)
    axis.set(yticks=range(len(lines)), yticklabels=[m["name"] for m in lines], xlabel="points more than the controls")
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(left=False)
    figure.legend(loc="outside upper left", ncols=min(4, max(len(rows), 1)), frameon=False, fontsize="small")
    return png(figure)


def reliability(bins: Mapping[str, Mapping[str, Sequence[float] | np.ndarray]]) -> bytes:
    """A diagram a network: accuracy by confidence, darker where there are more images."""
    columns = min(4, len(bins))
    figure, axes = grid(len(bins), columns, 2.9, 2.9)
    for axis, (label, sums) in zip(axes, bins.items(), strict=False):
        count, confidence, correct = (np.array(sums[name]) for name in ("count", "confidence", "correct"))
        seen, edges = count > 0, np.linspace(0, 1, len(count) + 1)
        shade = 0.25 + 0.75 * np.sqrt(count[seen] / count.max())
        colours = [(0.23, 0.44, 0.83, alpha) for alpha in shade]
        axis.bar(edges[:-1][seen], correct[seen] / count[seen], 1 / len(count), align="edge", color=colours)
        axis.plot([0, 1], [0, 1], color="0.4", linewidth=1, linestyle="--")
        gap = np.abs(correct - confidence).sum() / count.sum()
        axis.set(
            title=f"{wrapped(label, 28)}\nECE {gap:.3f}",
            xlim=(0, 1),
            ylim=(0, 1),
            xlabel="confidence",
            ylabel="accuracy",
        )
        axis.title.set_size("medium")
    return png(figure)


def alignment(cka: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A heat map a network: its layers against the teacher's."""
    columns = min(4, len(cka))
    figure, axes = grid(len(cka), columns, 3.1, 3.1)
    for axis, (label, matrix) in zip(axes, cka.items(), strict=False):
        values = np.array(matrix["values"])
        axis.imshow(values, vmin=0, vmax=1, cmap="viridis", origin="lower")
        if values.size <= 64:
            for (row, column), value in np.ndenumerate(values):
                ink = "black" if value > 0.6 else "white"
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize="small")
        axis.set_xticks(range(len(matrix["layers"])), matrix["layers"], rotation=45, ha="right")
        axis.set_yticks(range(len(matrix["teacher_layers"])), matrix["teacher_layers"])
        axis.set_title(label, size="medium")
        axis.set_ylabel("teacher’s layer")
    return png(figure)


def evidence_maps(
    images: np.ndarray,
    captions: Sequence[str],
    maps: Mapping[str, np.ndarray],
    cosines: Mapping[str, np.ndarray],
    reference: str,
) -> bytes:
    """A row an image: the image, then each network's map over it, with its cosine to the reference's."""
    columns = 1 + len(maps)
    size = (1.75 * columns, 1.95 * len(images))
    figure, axes = plt.subplots(len(images), columns, figsize=size, squeeze=False, layout="constrained")
    height, width = images.shape[1:3]
    over = {"cmap": "inferno", "alpha": 0.65, "interpolation": "bilinear"}
    over["extent"] = (-0.5, width - 0.5, height - 0.5, -0.5)
    for i, image in enumerate(images):
        axes[i, 0].imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axes[i, 0].set_title(captions[i], size="small")
        for axis, (label, found) in zip(axes[i, 1:], maps.items(), strict=True):
            axis.imshow(image.mean(-1), cmap="gray", vmin=0, vmax=255)
            axis.imshow(found[i], **over)
            named = f"{label}\n" if i == 0 else ""
            axis.set_title(named if label == reference else f"{named}cosine {cosines[label][i]:.2f}", size="small")
    for axis in axes.flat:
        axis.axis("off")
    return png(figure)
