"""Tags for a little, boxes for much: which to ask for, so that a detector learns most per second of people's time?

  python -m launch.data --dataset=digit_canvases --data_dir=data
  python -m launch.active --config=configs/active/weak_canvases.py --workdir=runs/weak_canvases \
      --results=results/weak_canvases.md

A pool of 2,000 canvases of 64×64 pixels with digits of ten classes, some of them rare. All loops begin with 30 canvases
that are drawn on; those with tags have 60 that are tagged, too. A further round is 600 seconds of answers: 2 to look at
a canvas and 7 to draw a box, or, where the last network proposes boxes, 1.6 to say of each whether it is right, and 7
to draw what is missing; or a second for each class to say whether there is any. What has tags alone is learnt from the
boxes that the network before finds, as far as the tags agree. Which kind of question an image is asked is a matter of
gain per second, measured on the validation split after each round: what tags would put right there, by their price,
against boxes and theirs. Images are chosen at random, or where a network and the one that it has learnt from disagree,
and are unsure. Objects are pasted from image to image in training, in all loops.
Variants: ``half``, ``double``: of what tags and a proposal's verification cost. ``tiny``: seconds, no result.
Cost: an hour and a half of CPU time each.

Sources: Wang et al. 2023 (ALWOD, https://arxiv.org/abs/2309.07914, which has neither prices nor a choice of kind),
Bearman et al. 2016 (https://arxiv.org/abs/1506.02106), Papadopoulos et al. 2016 (https://arxiv.org/abs/1602.08405) and
2017 (https://arxiv.org/abs/1708.02750).
"""

from configs.active import nuclei
from effjax.recipes import schema

RANDOM = {"selector": "random"}
DISAGREEMENT = {"predictions": "teacher", "score": "disagreement", "aggregate": "sum"}
KINDS = {
    "draw": ("draw", {"kinds": ("box",)}),
    "tags": ("tags, draw", {"kinds": ("tag", "box"), "tags": 60}),
    "correct": ("tags, correct", {"kinds": ("tag", "correct"), "tags": 60}),
}
PRICES = {"": 1.0, "half": 0.5, "double": 2.0, "tiny": 1.0}


def get_config(variant: str = ""):
    schema.check_variant(variant, PRICES)
    config = schema.experiment()
    config.title = "Which answers to ask for, and about which canvases of digits?"
    config.recipe, config.task = "active", "detection"
    config.data.name, config.data.padded = "digit_canvases", {"objects": 6}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.mean, config.view.std = (0.2,), (0.25,)
    config.view.crop, config.view.copy_paste = 0.6, 0.5
    config.active.update(initial=30, seconds=600.0, rounds=6, scoring_batch=100, levels=())
    config.active.prices = {"verify": 1.6 * PRICES[variant], "tag": PRICES[variant]}
    for name, (label, query) in KINDS.items():
        for how, more in ((", at random", RANDOM), (", by disagreement", DISAGREEMENT)):
            run = nuclei.loop(f"{label}{how}", 300, schema.query(**query, **more))
            config.runs[name if more is DISAGREEMENT else f"{name}_random"] = run
    config.control = "draw_random"
    config.table = tuple(f"{name}{how}" for name in KINDS for how in ("_random", ""))
    config.claims = (
        ("drawing, by disagreement: beats random", "draw", "draw_random"),
        ("tags beside drawing: beat drawing, at random", "tags_random", "draw_random"),
        ("tags and corrections: beat drawing, at random", "correct_random", "draw_random"),
        ("corrections in the place of drawing: beat it, at random", "correct_random", "tags_random"),
        ("tags and corrections, by disagreement: beat random", "correct", "correct_random"),
        ("tags and corrections, by disagreement: beat drawing at random", "correct", "draw_random"),
    )
    return tiny(config) if variant == "tiny" else config


def tiny(config):
    """The same in seconds."""
    config.num_seeds = 1
    config.active.update(initial=4, seconds=40.0, rounds=3)
    config.data.train, config.data.validation, config.data.test = "train[:40]", "validation[:20]", "test[:20]"
    for run in config.runs.values():
        run.steps = 4
        run.query.tags = min(run.query.tags, 6)
    return config
