"""CPU seconds an image of effjax's loader, or those of a reading process' start; prints JSON.

python -m benchmarks.loader_effjax FOLDER SIZE [pillow|simd|start]
"""

import json
import resource
import sys
import time
from importlib.metadata import version

BATCH, STEPS = 20, 30


def main() -> None:
    from effjax.data.feeds import StreamFeed
    from effjax.data.photo_crops import PhotoCrops
    from effjax.data.sources import load

    folder, size, kind = sys.argv[1:]
    source = load(f"folder:{folder}", "train", image_size=224)
    if kind == "start":
        read(StreamFeed({"train": source}, 1, crops=PhotoCrops(), num_workers=1), 224, 1)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime
    else:
        feed = StreamFeed({"train": source}, BATCH, resize=True, crops=PhotoCrops(resampler=kind))
        read(feed, int(size), 2)
        begun = time.process_time()
        read(feed, int(size), STEPS)
        cpu = (time.process_time() - begun) / (BATCH * STEPS)
    print(json.dumps({"cpu": cpu, "decoder": decoder()}))


def read(feed, size: int, steps: int) -> None:
    for _ in feed.blocks({"image_size": size}, 0, 0, steps, 1):
        pass


def decoder() -> str:
    from effjax.data import fast_jpeg

    packages = ("simplejpeg", "pillow", "cykooz-resizer") if fast_jpeg.simplejpeg else ("pillow", "cykooz-resizer")
    return ", ".join(f"{name} {version(name)}" for name in packages)


if __name__ == "__main__":
    main()
