"""The page on labelling loops: what labels buy, what was asked for, what was made of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax.reports.pages import Page, data_url, thumbnail

_SIDE = 48  # of thumbnails as stored, in pixels
PHOTO_SIDE = 96  # of those of photos, which have more pixels
_LARGE = 160  # of those that show where a network looks
_BUDGET = 3 * 2**20  # bytes for the thumbnails of what was asked for
_FEWEST, _MOST = 4, 12  # examples shown of a round


@dataclasses.dataclass(frozen=True)
class CaptionedImage:
    """An image with a line of text.

    Attributes:
      image: uint8 ``[H, W, 1 or 3]``.
      caption: such as its label.
      marked: whether something is drawn on it that would not be seen on a small one.
    """

    image: np.ndarray
    caption: str
    marked: bool = False


@dataclasses.dataclass(frozen=True)
class AskedExample:
    """An example that a loop asked for.

    Attributes:
      example: captioned with the label that was given, or with why there is none.
      score: why it was chosen; None where there was none.
      nearest: its nearest labelled neighbour in feature space, captioned with its label; None where not known.
      distance: to it; None where not known.
      differs: whether the neighbour has another label.
    """

    example: CaptionedImage
    score: float | None
    nearest: CaptionedImage | None
    distance: float | None
    differs: bool


@dataclasses.dataclass(frozen=True)
class AskedRound:
    """What a loop asked for in a round: its number, what became of all of it, and a few examples."""

    number: int
    outcome: str
    examples: Sequence[AskedExample]


@dataclasses.dataclass(frozen=True)
class Extremes:
    """The ends of a dataset map: what is said of it, and a few of the examples there.

    Attributes:
      note: what is said of the map.
      hardest: the least confident examples, captioned with label and confidence.
      ambiguous: the most variable, captioned with label and variability.
      removed: those that were removed from the pool, on the map or not.
    """

    note: str
    hardest: Sequence[CaptionedImage]
    ambiguous: Sequence[CaptionedImage]
    removed: Sequence[CaptionedImage]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The plots of the page as PNG bytes; what there is nothing for is None.

    Attributes:
      learning: learning curves over labels.
      costs: the same over what was spent.
      calibration: calibration errors by round.
      reliability: reliability diagrams of the last round.
      classes: classes by round.
      maps: dataset maps.
      by_item: learning curves over what answers name several of, such as boxes.
    """

    learning: bytes
    costs: bytes | None
    calibration: bytes | None
    reliability: bytes | None
    classes: bytes | None
    maps: bytes | None
    by_item: bytes | None = None


def write_active(
    path: str | Path,
    page: Page,
    *,
    so_far: str,
    split: str,
    watch: str,
    pictures: Pictures,
    asked: Mapping[str, Sequence[AskedRound]],
    extremes: Mapping[str, Extremes],
    looks: Mapping[str, Sequence[CaptionedImage]] | None = None,
) -> None:
    """Writes the report.

    Args:
      path: the file to write.
      page: what it says of any experiment.
      so_far: what is said on top of loops that are not over; empty if all are.
      split: what is measured, ``"test"`` or ``"validation"``.
      watch: what the metric that runs are judged by is called.
      pictures: the plots.
      asked: by run, what it asked for.
      extremes: by run, the ends of its dataset map.
      looks: by run, where its network looks on some images.
    """
    plots = {field.name: getattr(pictures, field.name) for field in dataclasses.fields(pictures)}
    page.write(
        path,
        "active.html",
        so_far=so_far,
        split=split,
        watch=watch,
        plots={name: data_url(png) if png else "" for name, png in plots.items()},
        looks={name: [_large(shown) for shown in several] for name, several in (looks or {}).items()},
        asked={name: [_round(round_) for round_ in rounds] for name, rounds in asked.items()},
        extremes={
            name: (
                ends.note,
                {
                    "hardest, with their confidence": [_one(shown) for shown in ends.hardest],
                    "most ambiguous, with their variability": [_one(shown) for shown in ends.ambiguous],
                    "removed": [_one(shown) for shown in ends.removed],
                },
            )
            for name, ends in extremes.items()
        },
    )


def how_many(image: np.ndarray, rounds: Sequence[int]) -> tuple[int, int]:
    """How much can be shown of what loops asked for, so that the page stays small.

    Args:
      image: one like the others, uint8 ``[H, W, 1 or 3]``.
      rounds: how many each loop has.

    Returns:
      Examples a round, and rounds a loop.
    """
    pairs = _BUDGET // (2 * len(thumbnail(image, _side(image))))
    examples = int(np.clip(pairs // max(sum(rounds), 1), _FEWEST, _MOST))
    return examples, max(2, pairs // (examples * max(len(rounds), 1)))


def _round(round_: AskedRound) -> dict[str, Any]:
    examples = [
        {
            **_one(asked.example),
            "score": None if asked.score is None else f"{asked.score:.3g}",
            "nearest": None if asked.nearest is None else _one(asked.nearest),
            "differs": asked.differs,
            "distance": None if asked.distance is None else f"{asked.distance:.3g}",
        }
        for asked in round_.examples
    ]
    return {"number": round_.number, "outcome": round_.outcome, "examples": examples}


def _one(shown: CaptionedImage) -> dict[str, Any]:
    caption = shown.caption.replace("_", "_\u200b").replace("/", "/\u200b")  # where a long name may be broken
    side = _LARGE if shown.marked else _side(shown.image)
    return {"image": thumbnail(shown.image, side), "caption": caption, "marked": shown.marked}


def _large(shown: CaptionedImage) -> dict[str, str]:
    return {"image": thumbnail(shown.image, _LARGE), "caption": shown.caption}


def _side(image: np.ndarray) -> int:
    return PHOTO_SIDE if max(image.shape) >= PHOTO_SIDE else _SIDE
