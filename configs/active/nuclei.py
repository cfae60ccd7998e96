"""Which pictures of living cells should somebody draw boxes on? Detectors' labelling loops, by images, boxes, seconds.

python -m launch.data --dataset=nuclei --data_dir=data
python -m launch.active --config=configs/active/nuclei.py --workdir=runs/active_nuclei \
      --results=results/active_nuclei.md
"""

from effjax.recipes import schema

AUGMENTED = {"predictions": "augmentations", "passes": 4}
QUERIES = {
    "random": ("random", {"selector": "random"}),
    "entropy_max": ("entropy, max", {}),
    "entropy_mean": ("entropy, mean", {"aggregate": "mean"}),
    "entropy_sum": ("entropy, sum", {"aggregate": "sum"}),
    "entropy_sum_floor": ("entropy, sum, floor", {"aggregate": "sum", "floor": "calibrated"}),
    "margin_top": ("margin, top 5", {"score": "margin", "aggregate": "top_mean"}),
    "cald": ("CALD", {**AUGMENTED, "score": "cald"}),
    "cald_sum_floor": ("CALD, sum, floor", {**AUGMENTED, "score": "cald", "aggregate": "sum", "floor": "calibrated"}),
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
    if variant == "tiny":
        config.num_seeds = 1
        config.active.update(initial=4, per_round=4, rounds=2)
        config.data.train, config.data.validation, config.data.test = "train[:40]", "validation[:20]", "test[:20]"
        for run in config.runs.values():
            run.steps = 4
    return config


def detection_loops(dataset: str, objects: int, steps: int = 200):
    config = schema.experiment()
    config.recipe, config.task, config.data.name = "active", "detection", dataset
    config.data.padded = {"objects": objects}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.flip, config.view.crop = True, 0.6
    config.active.scoring_batch = 100
    for name, (label, query) in QUERIES.items():
        config.runs[name] = detector(schema.run(label=label, steps=steps, query=schema.query(**query)))
    for name, (label, query) in ENSEMBLES.items():
        query = schema.query(predictions="ensemble", members=3, **query)
        config.runs[name] = detector(schema.run(label=label, steps=steps, query=query))
    config.control, config.table = "random", (*QUERIES, *ENSEMBLES)
    config.claims = (
        *((f"{label}: beats random", name, "random") for name, (label, _) in QUERIES.items() if name != "random"),
        *((f"{label}: beats the ensemble's random", name, "ensemble_random") for name, (label, _) in ENSEMBLES.items()
          if name != "ensemble_random"),
    )  # fmt: skip
    return config


def detector(run, channels: int = 32):
    run.model = {
        "name": "fcos", "backbone": "resnet8", "stem": "halving", "strides": (4,), "channels": channels, "convs": 1,
    }  # fmt: skip
    run.batch_size, run.evaluations = 16, 1
    run.terms = {"quality_focal": {}, "box_giou": {}}
    run.plans.terms = ((0.0, ("quality_focal", "box_giou")),)
    run.optimizer.update(name="adamw", learning_rate=8e-3, weight_decay=1e-3, clip_norm=5.0)
    return run
