"""Where networks look that have attention: pictures of validation images, for the report."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from effjax.data.base import Subset
from effjax.recipes.active.loop import Loop
from effjax.recipes.active.shown import words_of
from effjax.recipes.build.datasets import Datasets
from effjax.reports.active import CaptionedImage
from effjax.reports.heat import heated
from effjax.steps import Network
from effjax.typing import PyTree

_RUNS, _IMAGES = 6, 8  # shown, at most


def looks(loops: Sequence[Loop], datasets: Datasets, first_seed: int, labels: dict[str, str]) -> dict[str, Any]:
    """What the last network of each loop of the first seed looks at, of one network at a time.

    Args:
      loops: as far as they have come.
      datasets: theirs; the images are the first of the validation split.
      first_seed: of the experiment.
      labels: what the report calls the runs.

    Returns:
      By run, images with the question and its answers; nothing where the task has no attention.
    """
    tap = datasets.task.attention
    if not tap:
        return {}
    some = Subset(datasets.validation, datasets.validation.ids()[:_IMAGES])
    shown = [loop for loop in loops if loop.rounds.seed == first_seed and loop.rounds.name in labels and loop.measured]
    found = {}
    for loop in shown[:_RUNS]:
        rounds = loop.rounds
        variables = rounds.trainer.networks_of(rounds.variables(loop.measured[-1]["round"]))[0]
        network = rounds.trainer.assembled.job.network_at_end
        found[labels[rounds.name]] = _pictures(network, variables, some, tap)
    return found


def _pictures(network: Network, variables: PyTree, some: Subset, tap: str) -> list[CaptionedImage]:
    examples = [some[row] for row in range(len(some))]
    batch = {name: np.stack([example[name] for example in examples]) for name in (*network.inputs, "id")}
    logits, weights = jax.device_get(_attention(network, tap)(variables, batch))
    asked, names = words_of(some), some.info.class_names
    pictures = []
    for example, own, said in zip(examples, weights, logits.argmax(-1), strict=True):
        true = names[int(example["label"])]
        caption = f"{asked(int(example['id']))}: {names[said]}" + ("" if names[said] == true else f" (it is {true})")
        image = example.get("image")
        if image is not None:
            pictures.append(CaptionedImage(heated(image, own.mean(0)), caption))
    return pictures


@functools.lru_cache(maxsize=4)
def _attention(network: Network, tap: str) -> Any:
    """From variables and a batch to logits and attention ``[B, heads, places]``, compiled once."""
    tapped = network.tapped((tap,))

    @jax.jit
    def function(variables: PyTree, batch: PyTree) -> tuple[jax.Array, jax.Array]:
        outputs = tapped(variables, tapped.view.see(batch), train=False)
        return outputs.preds, outputs.taps[tap]

    return function
