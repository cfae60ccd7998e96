"""What average precision costs: the sums on the device against pycocotools, of the same detections.

    .venv/bin/python -m benchmarks.detection_ap [--images=500] [--classes=80] [--rounds=5] [--results=FILE]

Random images of up to 20 boxes with 100 detections each, 32 a batch. Every round times, in turn, the state's updates
and the numbers from it; ``coco_numbers`` by pycocotools; and, within it, COCOeval's ``evaluate`` and ``accumulate``
alone, their annotations made. Prints seconds, ratios of each round, and how far the numbers differ; ``--results`` keeps
that in a Markdown file.
"""

import argparse
import functools
import importlib.util
import statistics
import time
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from pycocotools import cocoeval

from benchmarks.in_turn import ratio
from benchmarks.pages import Goal, middle_ratio, quiet, write_page
from effjax.metrics import AveragePrecision, coco_numbers
from effjax.reports.tables import Table

_BATCH, _OBJECTS, _DETECTIONS = 32, 20, 100
_FIND = importlib.util.find_spec


class TimedEvaluation(cocoeval.COCOeval):
    """COCOeval that adds up the seconds of all its instances."""

    seconds = 0.0

    def evaluate(self):
        begun = time.perf_counter()
        super().evaluate()
        TimedEvaluation.seconds += time.perf_counter() - begun

    def accumulate(self):
        begun = time.perf_counter()
        super().accumulate()
        TimedEvaluation.seconds += time.perf_counter() - begun


def random_images(images: int, classes: int) -> list[np.ndarray]:
    """Boxes of up to 20 objects, and detections of which half are near one."""
    rng = np.random.default_rng(0)
    shape, many = (images, _OBJECTS), (images, _DETECTIONS)

    def some_boxes(*shape):
        corner = rng.uniform(0, 0.7, (*shape, 2))
        return np.concatenate([corner, corner + rng.uniform(0.03, 0.3, (*shape, 2))], -1)

    true_boxes, true_classes, of = some_boxes(*shape), rng.integers(0, classes, shape), rng.integers(0, _OBJECTS, many)
    near = np.take_along_axis(true_boxes, of[..., None], 1)
    near = near + rng.normal(0, 0.1, near.shape) * np.tile(near[..., 2:] - near[..., :2], 2)
    is_near = rng.random(many) < 0.5
    boxes = np.where(is_near[..., None], near, some_boxes(*many))
    found = np.where(is_near, np.take_along_axis(true_classes, of, 1), rng.integers(0, classes, many))
    scores = rng.beta(np.where(is_near, 3, 1), 6)
    valid = np.arange(_OBJECTS) < rng.integers(0, _OBJECTS + 1, (images, 1))
    given = boxes, scores, found, np.ones(many, bool), true_boxes, true_classes, valid
    return [x.astype(np.float32) if x.dtype == float else x for x in given]


def sums(given: list[np.ndarray], classes: int) -> dict[str, float]:
    """The numbers of the state, batch by batch; the last batch is padded."""
    images = len(given[0])
    state = AveragePrecision.empty(classes)
    for start in range(0, images, _BATCH):
        rows = np.arange(start, start + _BATCH)
        batch = [x[np.minimum(rows, images - 1)] for x in given]
        state = _update(state, *batch, where=rows < images)
    return state.compute()


def _find_without_faster(name: str):
    return None if name == "faster_coco_eval" else _FIND(name)


_update = jax.jit(AveragePrecision.update, donate_argnums=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", default="")
    options = parser.parse_args()
    load = quiet() if options.results else 0.0
    given = random_images(options.images, options.classes)
    sizes = np.tile([480, 640], (options.images, 1))
    begun = time.perf_counter()
    ours = sums(given, options.classes)
    compiling = time.perf_counter() - begun

    timed = {
        "AveragePrecision": functools.partial(sums, given, options.classes),
        "coco_numbers": functools.partial(coco_numbers, *given, sizes),
    }
    seconds: dict[str, list[float]] = {**{name: [] for name in timed}, "COCOeval alone": []}
    theirs = {}
    without_faster = mock.patch.object(importlib.util, "find_spec", _find_without_faster)
    with mock.patch.object(cocoeval, "COCOeval", TimedEvaluation), without_faster:
        for _ in range(options.rounds):
            TimedEvaluation.seconds = 0.0
            for name, function in timed.items():
                begun = time.perf_counter()
                theirs = function()
                seconds[name].append(time.perf_counter() - begun)
            seconds["COCOeval alone"].append(TimedEvaluation.seconds)

    rows = [
        (name, f"{statistics.median(each):.3f}", ratio(seconds["AveragePrecision"], each, 3))
        for name, each in seconds.items()
    ]
    differ = ", ".join(f"{name} {value:.5f} ({value - theirs[name]:+.5f})" for name, value in ours.items())
    lines = [
        "# What average precision costs",
        "",
        Table(("", "seconds", "AveragePrecision to it"), rows).markdown(),
        "",
        f"{options.images} images, {options.classes} classes; the first time, with compiling: {compiling:.1f} s.",
        f"The numbers, and how far they are from pycocotools': {differ}.",
    ]
    print("\n".join(lines))
    if options.results:
        share = middle_ratio(seconds["AveragePrecision"], seconds["COCOeval alone"])
        goal = Goal("average precision, over pycocotools", share, 0.1)
        write_page(Path(options.results), ["\n".join(lines)], load, [goal])


if __name__ == "__main__":
    main()
