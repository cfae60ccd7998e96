"""How the small DenseNet of configs/active/solar_cells.py is trained: rate, depth and dropout, with random labels.

  python -m launch.active --config=configs/active/solar_search.py --workdir=runs/solar_search \
      --results=results/active_solar_search.md

Two seeds, 300 and 900 random labels, so that no way to choose is preferred. Nothing here looks at the test set: the
validation set takes its place. Every setting sees as many photos.
Cost: about 10 minutes on one CPU core. Expected: results/active_solar_search.md. Variant ``tiny``: no result.
"""

from configs.active import solar_cells
from configs.active.search import on_validation

#: By loop: the rate, the depth, the growth, the dropout.
SETTINGS = {
    "start": (3e-3, 16, 4, 0.1),
    "faster": (1e-2, 16, 4, 0.1),
    "no_dropout": (3e-3, 16, 4, 0.0),
    "little_dropout": (1e-2, 16, 4, 0.03),
    "shallow": (1e-2, 10, 8, 0.1),
}


def change(run, setting) -> str:
    """Trains a loop so."""
    rate, depth, growth, dropout = setting
    run.optimizer.learning_rate = rate
    run.model.update(depth=depth, growth=growth, dropout=dropout)
    return f"rate {rate:g}, depth {depth}, growth {growth}, dropout {dropout:g}"


def get_config(variant: str = ""):
    config = solar_cells.get_config(variant)
    if not variant:
        config.active.update(initial=300, per_round=600, rounds=2, levels=(0.7, 0.75, 0.78))
        config.runs.random.steps = 250
    return on_validation(config, "How to train a small DenseNet on few solar cells", SETTINGS, change)
