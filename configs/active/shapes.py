"""Uncertainty against random at equal numbers of labels, over 20 seeds in one program: Bengio's shapes.

  python -m launch.data --dataset=shapes_basic --data_dir=data
  python -m launch.active --config=configs/active/shapes.py --workdir=runs/active_shapes \
      --results=results/active_shapes.md

10,000 of the regular shapes are the pool; 500 labels at random, then 500 a round up to 3,000, each round trained
afresh. The 20 loops of a way to choose train as one program, as configs/active/shapes_search.py found best on
validation with random labels; plain SGD, as Bengio's figure has it, learns too slowly for so few.
Cost: about 15 minutes on one CPU core. Expected: results/active_shapes.md. The classes overlap in no image, so what is
unsure can be learnt, and uncertainty might help; it does great harm. Variant ``tiny``: no result.
"""

from effjax.recipes import schema

QUERIES = {
    "random": ("random", schema.query(selector="random")),
    "entropy": ("entropy", schema.query()),
    "margin": ("margin", schema.query(score="margin")),
    "power": ("entropy, a power batch", schema.query(selector="power_batch")),
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe, config.title = "active", "Which shapes to label? 20 seeds"
    config.num_seeds, config.seeds_together = 2 if variant else 20, True
    config.data.name = "shapes_basic"
    config.view.mean, config.view.std = (0.5,), (0.3,)
    config.eval_batch_size = 1000
    config.active.update(initial=500, per_round=500, rounds=6, scoring_batch=1000, levels=(0.55, 0.6, 0.65))
    for name, (label, query) in QUERIES.items():
        run = schema.run(label=label, batch_size=100, steps=1000, evaluations=1, query=query)
        run.model = {"name": "mlp", "widths": (100, 100, 100)}
        run.optimizer.update(name="adamw", learning_rate=3e-3, weight_decay=0.1)
        config.runs[name] = run
    config.control, config.table = "random", tuple(QUERIES)
    config.claims = tuple(
        (f"{label.capitalize()} beats random", name, "random") for name, (label, _) in QUERIES.items()
    )[1:]
    if variant:
        config.active.update(initial=20, per_round=20, rounds=2)
        for run in config.runs.values():
            run.steps = 4
    return config
