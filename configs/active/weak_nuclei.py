"""Tags and corrections for a little, boxes for much: how does a detector learn most per second of people's time?

  python -m launch.data --dataset=nuclei --data_dir=data
  python -m launch.active --config=configs/active/weak_nuclei.py --workdir=runs/weak_nuclei \
      --results=results/weak_nuclei.md

A pool of 500 pictures of living cells of 64×64 pixels. All loops begin with 4 pictures that are drawn on; those with
tags have 20 that are tagged, too. A further round is 100 seconds of answers: 2 to look at a picture and 7 to draw a
box, or, where the last network proposes boxes, 1.6 to say of each whether it is right, and 7 to draw what is missing;
or a second to say whether there is any nucleus. What has tags alone is learnt from the boxes that the network before
finds, where they explain the tags. Which kind of question a picture is asked is a matter of gain per second, measured
on the validation split after each round: what tags would put right there, by their price, against boxes and theirs.
A control corrects and has no tags, so that nothing is learnt from what nobody has seen. Pictures are chosen at random,
or where a network and the one that it has learnt from disagree, and are unsure. Objects are pasted from picture to
picture in training, in all loops.
Variants: ``half``, ``double``: of what tags and a proposal's verification cost. ``tiny``: seconds, no result.
Cost: 45 minutes of CPU time each.

Sources: Wang et al. 2023 (ALWOD, https://arxiv.org/abs/2309.07914, which has neither prices nor a choice of kind),
Bearman et al. 2016 (https://arxiv.org/abs/1506.02106), Papadopoulos et al. 2016 (https://arxiv.org/abs/1602.08405) and
2017 (https://arxiv.org/abs/1708.02750).
"""

from configs.active import nuclei
from effjax.recipes import schema

DISAGREEMENT = {"predictions": "teacher", "score": "disagreement", "aggregate": "sum", "floor": "calibrated"}
CHOICES = {"_random": (", at random", {"selector": "random"}), "": (", by disagreement", DISAGREEMENT)}
KINDS = {
    "draw": ("draw", ("box",)),
    "tags": ("tags, draw", ("tag", "box")),
    "correct": ("tags, correct", ("tag", "correct")),
}
#: Corrections without tags, and so without anything that is learnt from a network's own boxes: the control.
ALONE = ("correct_alone", "correct, no tags, at random")
PRICES = {"": 1.0, "half": 0.5, "double": 2.0, "tiny": 1.0}


def get_config(variant: str = ""):
    schema.check_variant(variant, PRICES)
    config = weak_loops("nuclei", objects=16, steps=200, tags=20, price=PRICES[variant])
    config.title = "Which answers to ask for, and about which pictures of cells?"
    config.view.mean, config.view.std, config.view.flip = (0.3,), (0.2,), True
    config.active.update(initial=4, seconds=100.0, rounds=7)
    return tiny(config) if variant == "tiny" else config


def weak_loops(dataset: str, objects: int, steps: int, tags: int, price: float):
    """Loops that draw, tag and draw, tag and correct, each at random and by disagreement; and that correct alone.

    Args:
      dataset: with boxes.
      objects: that its fullest picture has.
      steps: of a round's training.
      tags: pictures that are tagged in the first round.
      price: of tags and verifications, in their usual price.
    """
    config = schema.experiment()
    config.recipe, config.task = "active", "detection"
    config.data.name, config.data.padded = dataset, {"objects": objects}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.crop, config.view.copy_paste = 0.6, 0.5
    config.active.update(scoring_batch=100, levels=())
    config.active.prices = {"verify": 1.6 * price, "tag": price}
    for name, (label, kinds) in KINDS.items():
        for how, (said, query) in CHOICES.items():
            asked = schema.query(kinds=kinds, tags=tags if "tag" in kinds else 0, **query)
            config.runs[f"{name}{how}"] = nuclei.loop(f"{label}{said}", steps, asked)
    name, label = ALONE
    config.runs[name] = nuclei.loop(label, steps, schema.query(kinds=("correct",), selector="random"))
    config.control = "draw_random"
    config.table = (*(f"{name}{how}" for name in KINDS for how in CHOICES), ALONE[0])
    config.claims = (
        ("drawing, by disagreement: beats random", "draw", "draw_random"),
        ("tags beside drawing: beat drawing alone, at random", "tags_random", "draw_random"),
        ("tags and corrections: beat drawing, at random", "correct_random", "draw_random"),
        ("corrections: beat drawing, both with tags, at random", "correct_random", "tags_random"),
        ("corrections without tags: beat drawing, at random", "correct_alone", "draw_random"),
        ("tags beside corrections: beat corrections alone, at random", "correct_random", "correct_alone"),
        ("tags and corrections, by disagreement: beat random", "correct", "correct_random"),
        ("tags and corrections, by disagreement: beat drawing at random", "correct", "draw_random"),
    )
    return config


def tiny(config):
    """The same in seconds."""
    config.num_seeds = 1
    config.active.update(initial=4, seconds=60.0, rounds=3)
    config.data.train, config.data.validation, config.data.test = "train[:40]", "validation[:20]", "test[:20]"
    for run in config.runs.values():
        run.steps = 4
        run.query.tags = min(run.query.tags, 6)
    return config
