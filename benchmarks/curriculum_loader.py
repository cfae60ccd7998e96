"""Images a second that the loader gives at each size, from a folder of JPEGs; prints JSON.

    python -m benchmarks.curriculum_loader

Photos of 500×375 pixels, cut from those that scikit-image ships, at quality 90. Nothing trains meanwhile. Also, how
long the first batch of a stage takes, from threads and from processes that must be started.
"""

import dataclasses
import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from absl import app, flags
from PIL import Image

from benchmarks.in_turn import in_turn
from effjax.data.feeds import StreamFeed
from effjax.data.sources import load

_ROUNDS = flags.DEFINE_integer("rounds", 5, "how often each is timed")
_SIZES = flags.DEFINE_list("sizes", ["224", "192", "160", "128", "96", "64"], "pixels, the full size first")
_THREADS = flags.DEFINE_integer("threads", 2, "that read")
BATCH, STEPS, IMAGES, WIDTH, HEIGHT = 20, 12, 120, 500, 375


def write_photos(root: Path) -> None:
    photos = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()]
    draw = np.random.default_rng(0)
    for index, photo in zip(range(IMAGES), itertools.cycle(photos), strict=False):
        image = Image.fromarray(photo)
        width = min(image.width, image.height * WIDTH / HEIGHT) * draw.uniform(0.7, 1.0)
        height = width * HEIGHT / WIDTH
        left, top = draw.uniform(0, image.width - width), draw.uniform(0, image.height - height)
        box = (left, top, left + width, top + height)
        path = root / "train" / "ab"[index % 2] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box=box).save(path, quality=90)


def main(_) -> None:
    sizes = [int(size) for size in _SIZES.value]
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))
        source = load(f"folder:{folder}", "train", image_size=sizes[0])
        feed = StreamFeed({"train": source}, BATCH, num_threads=_THREADS.value, resize=True)

        def epochs(size: int) -> None:
            for _ in feed.blocks({"image_size": size}, 0, 0, STEPS, 1):
                pass

        timed = {str(size): lambda size=size: epochs(size) for size in sizes}
        times = in_turn(timed, _ROUNDS.value)
        processes = dataclasses.replace(feed, num_workers=2)
        first = {
            name: [first_batch(one) for _ in range(3)] for name, one in (("threads", feed), ("processes", processes))
        }
    per_second = {size: [BATCH * STEPS / seconds for seconds in several] for size, several in times.items()}
    print(json.dumps({"threads": _THREADS.value, "images_per_second": per_second, "first_batch": first}))


def first_batch(feed: StreamFeed) -> float:
    """Seconds until the first batch of a stage is there."""
    start = time.perf_counter()
    blocks = feed.blocks({"image_size": 160}, 0, 0, STEPS, 1)
    next(blocks)
    seconds = time.perf_counter() - start
    blocks.close()
    return seconds


if __name__ == "__main__":
    app.run(main)
