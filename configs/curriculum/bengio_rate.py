"""The learning rate of configs/curriculum/bengio.py: the best on the validation set without a curriculum.

  python -m launch.train --config=configs/curriculum/bengio_rate.py --workdir=runs/bengio_rate \
      --results=results/curriculum_bengio_rate.md

Three seeds, 100 epochs at most, plain SGD. Nothing here looks at the test set: the validation set takes its place.
Cost: about 10 minutes on two CPU cores. Expected: results/curriculum_bengio_rate.md. Variant ``tiny``: no result.
"""

from configs.curriculum import bengio
from effjax.recipes import schema

RATES = (0.01, 0.03, 0.1, 0.2)


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = bengio.experiment(3)
    config.title = "The rate without a curriculum, on Bengio's shapes (validation set)"
    config.data.test, config.judge = "validation", "best"
    for rate in RATES:
        name = f"rate_{rate}".replace(".", "_")
        config.runs[name] = bengio.run(f"rate {rate}", [(0, "train")], rate, epochs=2 if variant else 100)
        config.runs[name].plans = {}
    config.data.also = {}
    config.table = tuple(f"rate_{rate}".replace(".", "_") for rate in RATES)
    config.control = config.table[0]
    return config
