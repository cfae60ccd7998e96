"""How the network of configs/active/shapes.py is trained: the optimiser, with random labels.

  python -m launch.active --config=configs/active/shapes_search.py --workdir=runs/shapes_search \
      --results=results/active_shapes_search.md

Two seeds, 1,000 and 2,500 random labels, so that no way to choose is preferred. Nothing here looks at the test set: the
validation set takes its place. Every setting sees as many images.
Cost: about 2 minutes on two CPU cores. Expected: results/active_shapes_search.md. Variant ``tiny``: no result.
"""

from configs.active import shapes
from configs.active.search import on_validation

#: By loop: the optimiser's options and the schedule. The first is how Bengio's figure is made.
SETTINGS = {
    "sgd": ({"name": "sgd", "learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.0}, "constant"),
    "adam": ({"name": "adam", "learning_rate": 1e-3}, "cosine"),
    "adamw": ({"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1}, "cosine"),
    "adamw_fast": ({"name": "adamw", "learning_rate": 3e-3, "weight_decay": 0.1}, "cosine"),
}


def change(run, setting) -> str:
    """Trains a loop so."""
    optimizer, run.schedule.name = setting
    run.optimizer = optimizer
    decay = f", decay {optimizer['weight_decay']:g}" if optimizer.get("weight_decay") else ""
    return f"{optimizer['name']}, rate {optimizer['learning_rate']:g}{decay}, {run.schedule.name}"


def get_config(variant: str = ""):
    config = shapes.get_config(variant)
    if not variant:
        config.active.update(initial=1000, per_round=1500, rounds=2)
    return on_validation(config, "How to train an MLP on few shapes", SETTINGS, change)
