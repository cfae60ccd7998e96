"""Boxes of images of which only tags are known: those that the network before finds, where they explain the tags."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from effjax.data.base import Source, Subset
from effjax.data.ledger import TAG, Ledger
from effjax.recipes.active.kinds import STRONG
from effjax.recipes.active.measures import FLOOR
from effjax.recipes.active.rounds import Rounds
from effjax.tasks.box_answers import DIGITS, BoxAnswers
from effjax.tasks.tags import explained

PseudoBoxes = Callable[[int], Mapping[int, Any]]


def pseudo_boxes(rounds: Rounds, ledger: Ledger, pool: Source, answers: BoxAnswers, round_: int) -> dict[int, Any]:
    """What a round learns of images that have tags and no boxes.

    Args:
      rounds: the loop's.
      ledger: its answers.
      pool: where images are read.
      answers: what boxes are written as.
      round_: that is trained; its teacher is the network of the round before, and the first has none.

    Returns:
      By global id, answers in JSON, as people would give them; nothing of images whose tags the network does not
      explain: half of what is there would be taught to be nothing.
    """
    strong = ledger.labels(before=round_ + 1, kinds=STRONG)
    tags = {id_: said for id_, said in ledger.labels(before=round_ + 1, kinds=(TAG,)).items() if id_ not in strong}
    if not round_ or not tags or not rounds.labels_of(round_ - 1):
        return {}
    floor = rounds.result(round_ - 1)[FLOOR]
    network = rounds.trainer.networks_of(rounds.variables(round_ - 1))[0]
    found = rounds.trainer.assembled.predict(network, Subset(pool, np.fromiter(tags, np.int64)))
    (room,), learnt = rounds.trainer.specs["objects/label"].shape, {}
    for row, (id_, said) in enumerate(tags.items()):
        one = dict(jax.tree.map(lambda array, row=row: array[row], found))
        known = explained(one, {answers.classes.index(name) for name in said}, floor)
        if known is None or (room is not None and len(known[0]) > room):
            continue
        corners = one["boxes"].astype(np.float64).round(DIGITS)[known[0]]
        learnt[id_] = [
            {"box": box.tolist(), "class": answers.classes[kind]}
            for box, kind in zip(corners, known[1], strict=True)
            if (box[2:] > box[:2]).all()
        ]
    return learnt
