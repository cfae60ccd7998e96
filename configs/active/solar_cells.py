"""Where labels are really expensive: which photos of solar cells should an expert grade, and what of the doubtful ones?

  python -m launch.data --dataset=solar_cells --data_dir=data
  python -m launch.active --config=configs/active/solar_cells.py --workdir=runs/active_solar \
      --results=results/active_solar.md

2,624 electroluminescence photos at 32×32, functional or defective; of the pool one in six has a doubtful grade (⅓ or
⅔). 20 labels at random, then 70 a round up to 300: in configs/active/solar_search.py, where the small DenseNet's rate
and dropout come from, 300 random labels did as well as 900 on validation. Its entropy, and BALD of 10 passes with
dropout, against random. Do they chase the doubtful grades, and does it help to leave out 10, 25 or 50 % of the pool
that look unlearnable: by the map of all labels, which only a simulation has (Karamcheti et al. 2021), or by the map of
what is labelled, extended to the rest, which anybody has?
Cost: about 40 minutes as two processes of one CPU core each (share the loops out: --only=everything,random,…).
Expected: results/active_solar.md. Variant ``tiny``: no result.
"""

from configs.solar_cells import use_solar_cells
from effjax.recipes import schema

SHARES = (0.1, 0.25, 0.5)


def queries() -> dict:
    """By loop, what it is called and how it chooses."""
    found = {
        "random": ("random", schema.query(selector="random")),
        "entropy": ("entropy", schema.query()),
        "bald": ("dropout, BALD", schema.query(predictions="dropout", passes=10, score="bald")),
    }
    for share in SHARES:
        percent = f"{100 * share:.0f}"
        known = schema.outliers(((0, share),), source="labels", run="everything")
        found[f"known_{percent}"] = (f"entropy, {percent} % out, all labels known", schema.query(outliers=known))
        guessed = schema.outliers(((0, share),))
        found[f"guessed_{percent}"] = (f"entropy, {percent} % out, guessed", schema.query(outliers=guessed))
    product = schema.outliers(((0, 0.25),), by="confidence_variability", source="labels", run="everything")
    label = "entropy, 25 % out by confidence × variability, all labels known"
    found["known_25_product"] = (label, schema.query(outliers=product))
    return found


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe, config.title = "active", "Which photos of solar cells to grade?"
    config.num_seeds = 1 if variant else 5
    use_solar_cells(config, 32)
    config.view.mean, config.view.std, config.view.flip = (0.5,), (0.25,), True
    config.active.update(initial=20, per_round=70, rounds=5, levels=(0.72, 0.75, 0.78))
    config.active.watch = ("likely_functional", "likely_defective")
    model = {"name": "densenet", "depth": 16, "growth": 4, "dropout": 0.03}
    for name, (label, query) in queries().items():
        run = schema.run(label=label, batch_size=32, steps=150, evaluations=1, query=query, record=True)
        run.model, run.optimizer.learning_rate = model, 1e-2
        config.runs[name] = run
    everything = schema.run(label="all labels", batch_size=32, epochs=12.0, evaluations=1, record=True)
    everything.model, everything.optimizer.learning_rate = model, 1e-2
    config.runs.everything = everything
    config.control, config.table = "random", tuple(queries())
    config.claims = (
        ("Uncertainty beats random", "entropy", "random"),
        ("BALD beats random", "bald", "random"),
        *((f"Leaving out {s:.0%} helps uncertainty (labels known)", f"known_{100 * s:.0f}", "entropy") for s in SHARES),
        *((f"Leaving out {s:.0%} helps uncertainty (guessed)", f"guessed_{100 * s:.0f}", "entropy") for s in SHARES),
    )
    if variant:
        config.active.update(initial=20, per_round=20, rounds=2)
        for run in config.runs.values():
            if run.query:
                run.steps = 4
                run.query.passes = 2
            else:
                run.epochs = 0.1
    return config
