"""Which pictures of living cells should somebody draw boxes on? Labelling loops of a detector, by three prices.

  python -m launch.data --dataset=nuclei --data_dir=data
  python -m launch.active --config=configs/active/nuclei.py --workdir=runs/active_nuclei \
      --results=results/active_nuclei.md

A pool of 500 pictures of 64×64 pixels, some empty, some with eleven nuclei; ten at random to begin with, ten more a
round. Every way to choose is judged by the same loops three times: by pictures, by boxes, and by the seconds that
answers take (2 to look at a picture, 7 to draw a box by extreme clicking). Each is beside random; an ensemble beside
an ensemble that asks at random. "floor": boxes count only above the score at which the round's network is right most
often on validation, so that an empty picture full of weak false boxes is no treasure.
Cost: an hour and a half of CPU time (share the loops out: --only=random,entropy_max,…). Variant ``tiny``: no result.

Sources: Brust et al. 2019 (https://arxiv.org/abs/1809.09875), Yu et al. 2022 (CALD,
https://arxiv.org/abs/2103.10374), Papadopoulos et al. 2017 (seconds a box, https://arxiv.org/abs/1708.02750).
"""

from collections.abc import Mapping

from configs.detection.nuclei import detector
from effjax.recipes import schema

QUERIES = {
    "random": ("random", {"selector": "random"}),
    "entropy_max": ("entropy, max", {}),
    "entropy_sum": ("entropy, sum", {"aggregate": "sum"}),
    "entropy_sum_floor": ("entropy, sum, floor", {"aggregate": "sum", "floor": "calibrated"}),
    "margin_top": ("margin, top 5", {"score": "margin", "aggregate": "top_mean"}),
    "cald": ("CALD", {"predictions": "augmentations", "passes": 4, "score": "cald"}),
    "k_center": ("k-center", {"selector": "k_center_greedy"}),
    "badge": ("BADGE", {"selector": "badge"}),
}
ENSEMBLES = {
    "ensemble_random": ("ensemble of 3, random", {"selector": "random"}),
    "bald_max": ("ensemble of 3, BALD, max", {"score": "bald"}),
    "bald_sum_floor": ("ensemble of 3, BALD, sum, floor", {"score": "bald", "aggregate": "sum", "floor": "calibrated"}),
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = detection_loops("nuclei", objects=16)
    config.title = "Which pictures of cells to draw boxes on?"
    config.view.mean, config.view.std = (0.3,), (0.2,)
    config.active.update(initial=10, per_round=10, rounds=6, levels=(0.5, 0.6))
    return tiny(config) if variant == "tiny" else config


def detection_loops(dataset: str, objects: int, steps: int = 200, further: Mapping[str, tuple] | None = None):
    """Loops of detectors on a dataset whose pictures have so many objects at most; further ones as in ``QUERIES``."""
    queries = {**QUERIES, **(further or {})}
    config = schema.experiment()
    config.recipe, config.task, config.data.name = "active", "detection", dataset
    config.data.padded = {"objects": objects}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.flip, config.view.crop = True, 0.6
    config.active.scoring_batch = 100
    for name, (label, query) in queries.items():
        config.runs[name] = loop(label, steps, schema.query(**query))
    for name, (label, query) in ENSEMBLES.items():
        config.runs[name] = loop(label, steps, schema.query(predictions="ensemble", members=3, **query))
    config.control, config.table = "random", (*queries, *ENSEMBLES)
    config.claims = (
        *((f"{label}: beats random", name, "random") for name, (label, _) in queries.items() if name != "random"),
        *((f"{label}: beats the ensemble's random", name, "ensemble_random") for name, (label, _) in ENSEMBLES.items()
          if name != "ensemble_random"),
    )  # fmt: skip
    return config


def tiny(config):
    """The same in a minute."""
    config.num_seeds = 1
    config.active.update(initial=4, per_round=4, rounds=2)
    config.data.train, config.data.validation, config.data.test = "train[:40]", "validation[:20]", "test[:20]"
    for run in config.runs.values():
        run.steps = 4
        if run.query.candidates:
            run.query.candidates = 8
    return config


def loop(label: str, steps: int, query):
    """A labelling loop of a detector."""
    run = detector(schema.run(label=label, steps=steps, query=query), channels=32)
    run.evaluations = 1
    return run
