"""How the small DenseNet of configs/active/solar_cells.py is trained: rate, depth and dropout, with random labels.

  python -m launch.active --config=configs/active/solar_search.py --workdir=runs/solar_search \
      --results=results/active_solar_search.md

Two seeds, 300 and 900 random labels, so that no way to choose is preferred. Nothing here looks at the test set: the
validation set takes its place. Every setting sees as many photos.
Cost: about 10 minutes on one CPU core. Expected: results/active_solar_search.md. Variant ``tiny``: no result.
"""

from configs.active import solar_cells

#: By run: the rate, the depth, the growth, the dropout.
SETTINGS = {
    "start": (3e-3, 16, 4, 0.1),
    "faster": (1e-2, 16, 4, 0.1),
    "no_dropout": (3e-3, 16, 4, 0.0),
    "little_dropout": (1e-2, 16, 4, 0.03),
    "shallow": (1e-2, 10, 8, 0.1),
}


def get_config(variant: str = ""):
    config = solar_cells.get_config(variant)
    config.num_seeds = 1 if variant else 2
    config.title = "How to train a small DenseNet on few solar cells (validation set)"
    config.data.test, config.active.watch = "validation", ()
    if not variant:
        config.active.update(initial=300, per_round=600, rounds=2, levels=(0.7, 0.75, 0.78))
    base = config.runs.random
    config.runs = type(config.runs)()
    for name, (rate, depth, growth, dropout) in SETTINGS.items():
        run = base.copy_and_resolve_references()
        run.label = f"rate {rate:g}, depth {depth}, growth {growth}, dropout {dropout:g}"
        run.optimizer.learning_rate = rate
        if not variant:
            run.steps = 250
        run.model.update(depth=depth, growth=growth, dropout=dropout)
        config.runs[name] = run
    config.control, config.table, config.claims = "start", tuple(SETTINGS), ()
    return config
