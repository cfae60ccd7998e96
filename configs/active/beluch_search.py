"""How the narrow S-CNN of configs/active/beluch.py is trained: rate, batch and dropout, with random labels.

  python -m launch.active --config=configs/active/beluch_search.py --workdir=runs/beluch_search \
      --results=results/active_beluch_search.md

Two seeds, 300 and 1,000 random labels, so that no way to choose is preferred. Nothing here looks at the test set: the
validation set takes its place. Every setting sees as many images.
Cost: about 3 minutes on one CPU core. Expected: results/active_beluch_search.md. Variant ``tiny``: no result.
"""

from configs.active import beluch
from configs.active.search import on_validation

#: By loop: the rate, the batch, the two dropouts.
SETTINGS = {
    "published": (1e-3, 64, (0.25, 0.5)),
    "faster": (3e-3, 64, (0.25, 0.5)),
    "less_dropout": (3e-3, 64, (0.25, 0.25)),
    "more_steps": (3e-3, 32, (0.25, 0.25)),
    "slower": (1e-3, 32, (0.25, 0.25)),
}


def change(run, setting) -> str:
    """Trains a loop so, on as many images."""
    rate, batch, dropout = setting
    run.steps = run.steps * run.batch_size // batch
    run.optimizer.learning_rate, run.batch_size, run.model.dropout = rate, batch, dropout
    return f"rate {rate:g}, batch {batch}, dropout {dropout[0]:g} and {dropout[1]:g}"


def get_config(variant: str = ""):
    config = beluch.get_config(variant)
    if not variant:
        config.active.update(initial=300, per_round=700, rounds=2, levels=(0.9, 0.95))
    return on_validation(config, "How to train a narrow S-CNN on few digits", SETTINGS, change)
