"""Tags, corrections and boxes of digits on canvases: ten classes, few digits each; see configs/active/weak_nuclei.py.

  python -m launch.data --dataset=digit_canvases --data_dir=data
  python -m launch.active --config=configs/active/weak_canvases.py --workdir=runs/weak_canvases \
      --results=results/weak_canvases.md

A pool of 2,000 canvases of 64×64 pixels, with 2.5 digits each, some of them rare. 30 are drawn on in the beginning, 60
are tagged where tags are asked for, a second for each of the ten classes; a further round is 600 seconds long.
Variants as there; ``tiny``: no result. Cost: an hour of CPU time each, with every run's ``convolutions="onednn"``.
"""

from configs.active import weak_nuclei
from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, weak_nuclei.PRICES)
    config = weak_nuclei.weak_loops("digit_canvases", 6, steps=300, tags=60, price=weak_nuclei.PRICES[variant])
    config.title = "Which answers to ask for, and about which canvases of digits?"
    config.view.mean, config.view.std = (0.2,), (0.25,)
    config.active.update(initial=30, seconds=600.0, rounds=6)
    return weak_nuclei.tiny(config) if variant == "tiny" else config
