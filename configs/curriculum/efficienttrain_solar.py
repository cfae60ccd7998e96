"""EfficientTrain on photos of solar cells. configs/curriculum/efficienttrain_digits.py, on larger images.

  python -m launch.data --dataset=solar_cells --data_dir=data
  python -m launch.train --config=configs/curriculum/efficienttrain_solar.py --workdir=runs/efficienttrain_solar \
      --results=results/curriculum_efficienttrain_solar.md

2,624 electroluminescence photos at 112×112 (half of the published size: so the sizes are 80, 96, 112), functional or
defective. A ResNet-18 of a quarter of its width, 11 epochs.
Cost: about an hour on one CPU core (`taskset -c 0 python …`, and nothing else on it: then the seconds compare).
Expected: results/curriculum_efficienttrain_solar.md. Variant ``tiny``: no result.
"""

from configs.curriculum.efficienttrain_digits import experiment
from configs.solar_cells import use_solar_cells
from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    run = schema.run(label="baseline", model={"name": "resnet18", "width": 0.25}, batch_size=32, steps=640)
    run.optimizer.update(name="adamw", learning_rate=3e-3)
    run.schedule.warmup = 20 / 300
    if variant == "tiny":
        run.steps, run.evaluations = 20, 5
    config = experiment(run, 112, 1 if variant else 5)
    config.title = "EfficientTrain on solar cells"
    use_solar_cells(config, 112)
    config.view.mean, config.view.std, config.view.flip = (0.5,), (0.25,), True
    return config
