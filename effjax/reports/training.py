"""The page on training runs: tables, curves, and what the networks think of some images."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax.reports.active import CaptionedImage
from effjax.reports.pages import Page, data_url, thumbnail

_SIDE = 112  # of the images of opinions, in pixels
_FOUND = 320  # at most, of those with boxes


@dataclasses.dataclass(frozen=True)
class Opinion:
    """What several networks think of one image.

    Attributes:
      image: uint8 ``[H, W, C]``.
      label: the true class.
      caption: what is said below the image.
      probs: by network, its probabilities ``[K]``.
    """

    image: np.ndarray
    label: int
    caption: str
    probs: Mapping[str, np.ndarray]


def write_report(
    path: str | Path,
    page: Page,
    *,
    accuracies: str | Path,
    curves: str | Path,
    class_names: Sequence[str],
    opinions: Sequence[Opinion],
    taught: bool,
    found: Mapping[str, Sequence[CaptionedImage]] | None = None,
) -> None:
    """Writes the report.

    Args:
      path: the file to write.
      page: what it says of any experiment.
      accuracies: a PNG of the results, which is put into the file.
      curves: a PNG of the learning curves.
      class_names: in the order of the labels.
      opinions: images with the networks' probabilities side by side.
      taught: whether the first of these networks is a teacher.
      found: by network, images with what it has found in them.
    """
    page.write(
        path,
        "training.html",
        accuracies=data_url(Path(accuracies).read_bytes()),
        curves=data_url(Path(curves).read_bytes()),
        class_names=class_names,
        opinions=[_rendered(opinion) for opinion in opinions],
        taught=taught,
        found={
            who: [(thumbnail(one.image, _FOUND), one.caption) for one in shown] for who, shown in (found or {}).items()
        },
    )


def _rendered(opinion: Opinion) -> dict[str, Any]:
    shown = {"image": thumbnail(opinion.image, _SIDE), "label": opinion.label, "caption": opinion.caption}
    return {**shown, "probs": dict(opinion.probs)}
