"""Ten classes of real digits on cluttered canvases, some of them rare: a small detector.

  python -m launch.data --dataset=digit_canvases --data_dir=data
  python -m launch.train --config=configs/detection/digit_canvases.py --workdir=runs/digit_canvases \
      --results=results/detection_digit_canvases.md

2,000 canvases of 64×64 pixels train, where each class is 0.7 times as frequent as the one before; what is measured has
all alike. Cost: a minute a seed on one CPU core. Expected: results/detection_digit_canvases.md. Variant ``tiny``:
seconds, no result.
"""

from configs.detection import nuclei
from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.task, config.title = "detection", "Digits on cluttered canvases"
    config.data.name, config.data.padded = "digit_canvases", {"objects": 6}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.mean, config.view.std = (0.2,), (0.25,)
    config.runs.alone = nuclei.detector(schema.run(label="a small detector", steps=600), channels=32)
    return nuclei.tiny(config) if variant == "tiny" else config
