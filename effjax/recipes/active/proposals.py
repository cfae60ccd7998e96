"""What the last network says of images that people are asked about: boxes to correct are fewer clicks than to draw."""

from collections.abc import Sequence

import jax
import numpy as np

from effjax.data.base import Source, Subset
from effjax.data.centre_squares import boxes_on_whole
from effjax.recipes.active.measures import FLOOR
from effjax.recipes.active.oracles import Proposed
from effjax.recipes.active.rounds import Rounds
from effjax.recipes.active.shown import is_photo, size_of
from effjax.tasks.box_answers import BoxAnswers


def proposals(
    rounds: Rounds, round_: int, pool: Source, ids: Sequence[int], answers: BoxAnswers
) -> dict[int, Proposed]:
    """What the network before a round has found; of an ensemble, the first of its networks.

    Args:
      rounds: the loop's.
      round_: in which people are asked.
      pool: where the images are read.
      ids: of the images.
      answers: what people answer with.

    Returns:
      By id; nothing where no network has looked yet, or it has found nothing of the validation split rightly, however
      low its score: then its boxes would be more work than none.
    """
    if round_ < 1 or not rounds.labels_of(round_ - 1):
        return {}
    floor = rounds.result(round_ - 1).get(FLOOR, 0.0)
    if not floor:
        return {}
    trainer = rounds.trainer
    network = trainer.networks_of(rounds.variables(round_ - 1))[0]
    found = trainer.assembled.predict(network, Subset(pool, np.asarray(ids)))
    proposed = {}
    for row, id_ in enumerate(ids):
        one = dict(jax.tree.map(lambda array, row=row: array[row], found))
        if is_photo(pool):
            one["boxes"] = boxes_on_whole(one["boxes"], *size_of(pool, id_))
        proposed[int(id_)] = Proposed(*answers.proposed(one, floor), f"{rounds.name}, round {round_ - 1}")
    return proposed
