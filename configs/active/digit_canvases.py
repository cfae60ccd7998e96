"""Which canvases of digits should somebody draw boxes on? Ten classes, some of them rare; see configs/active/nuclei.py.

  python -m launch.data --dataset=digit_canvases --data_dir=data
  python -m launch.active --config=configs/active/digit_canvases.py --workdir=runs/active_digit_canvases \
      --results=results/active_digit_canvases.md

A pool of 2,000 canvases of 64×64 pixels, where each class is 0.7 times as frequent as the one before; what is measured
has all classes alike. 100 at random to begin with, 100 more a round. Beside what is asked of nuclei, PPAL: boxes of
classes that the network is bad at count for more, and of four times as many candidates those are asked that differ in
what is in them. Cost: three hours of CPU time, less with every run's ``convolutions="onednn"``. Variant ``tiny``: no
result.

Source: Yang et al. 2024 (PPAL, https://arxiv.org/abs/2211.11612).
"""

from configs.active import nuclei
from effjax.recipes import schema

PPAL = {"score": "weighted_entropy", "aggregate": "sum", "selector": "category_diverse", "candidates": 400}
FURTHER = {
    "weighted_sum": ("class-weighted entropy, sum", {"score": "weighted_entropy", "aggregate": "sum"}),
    "ppal": ("PPAL", PPAL),
    "ppal_floor": ("PPAL, floor", {**PPAL, "floor": "calibrated"}),
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = nuclei.detection_loops("digit_canvases", 6, steps=300, further=FURTHER)
    config.title = "Which canvases of digits to draw boxes on?"
    config.view.flip = False  # which would make other digits of them
    config.view.mean, config.view.std = (0.2,), (0.25,)
    config.active.update(initial=100, per_round=100, rounds=5, levels=(0.2, 0.3))
    return nuclei.tiny(config) if variant == "tiny" else config
