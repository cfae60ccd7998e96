"""Bengio's curriculum on shapes, in full: easy shapes until a switch, all shapes after; when is it best to switch?

  python -m launch.data --dataset=shapes_basic --data_dir=data
  python -m launch.data --dataset=shapes_geom --data_dir=data
  python -m launch.train --config=configs/curriculum/bengio.py --workdir=runs/bengio \
      --results=results/curriculum_bengio.md

Bengio et al., "Curriculum learning", ICML 2009, figure 3: rectangles, ellipses and triangles, at first regular ones
(Basic) and from the switch epoch on all (Geom); an MLP of three hidden layers; at most 256 epochs, ended early by the
error on Geom's validation set; 20 seeds, which train as one program. Beside it, as controls: both sets from the start,
and Basic alone. The rate is the best of configs/curriculum/bengio_rate.py, on the validation set without a curriculum.
Cost: about 90 minutes on two CPU cores (two processes of one core each, with --only, are fastest). Expected:
results/curriculum_bengio.md. Variant ``tiny``: no result.
"""

from effjax.recipes import schema

SWITCHES = (0, 1, 2, 4, 8, 16, 32, 64, 128)
EPOCHS, STEPS_AN_EPOCH, BATCH = 256, 100, 100
WIDTHS, RATE = (100, 100, 100), 0.1


def run(label: str, pieces, rate: float = RATE, epochs: int = EPOCHS):
    """A run that draws from ``pieces`` of (epoch, sets)."""
    config = schema.run(label=label, model={"name": "mlp", "widths": WIDTHS}, batch_size=BATCH)
    config.optimizer.update(name="sgd", learning_rate=rate, momentum=0.0, weight_decay=0.0)
    config.schedule.name = "constant"
    config.steps, config.evaluations, config.patience = epochs * STEPS_AN_EPOCH, epochs, 32
    config.checkpoint_every = 10 * STEPS_AN_EPOCH
    config.plans.data = tuple((epoch / epochs, sets) for epoch, sets in pieces)
    return config


def experiment(num_seeds: int):
    config = schema.experiment()
    config.num_seeds, config.seeds_together = num_seeds, True
    config.data.name = "shapes_geom"
    config.data.also = {"basic": "shapes_basic"}
    config.view.mean, config.view.std = (0.5,), (0.3,)
    config.eval_batch_size = 1000
    return config


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = experiment(2 if variant else 20)
    config.title = "When to switch from easy shapes to all shapes (Bengio 2009, figure 3)"
    for switch in SWITCHES:
        pieces = [(0, "basic"), (switch, "train")] if switch else [(0, "train")]
        config.runs[f"switch_{switch}"] = run(f"switch at epoch {switch}" if switch else "no curriculum", pieces)
    config.runs.union = run("both sets, no curriculum", [(0, "basic+train")])
    config.runs.basic = run("Basic alone", [(0, "basic")])
    config.control, config.judge = "switch_0", "best"
    config.table = (*(f"switch_{switch}" for switch in SWITCHES), "union", "basic")
    config.claims = (
        ("The curriculum helps", "switch_128", "switch_0"),
        ("It helps beyond seeing the easy shapes too", "switch_128", "union"),
        ("A late switch beats an early one", "switch_128", "switch_16"),
    )
    if variant == "tiny":
        for one in config.runs.values():
            one.steps, one.evaluations = 256, 256
    return config
