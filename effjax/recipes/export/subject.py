"""What is exported: a trained run, or a network whose weights others trained."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax import models
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError
from effjax.recipes.build.trained import TrainedRun
from effjax.steps import Network, View
from effjax.typing import PyTree

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network, and images for it.

    Attributes:
      network: with what it is shown.
      variables: its own.
      image_shape: ``(H, W, C)``.
      class_names: of its classes, in order; empty where it has none.
      facts: what it is, for whoever gets the files.
      source: of training images, stored examples by row.
    """

    network: Network
    variables: PyTree
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    facts: Mapping[str, Any]
    source: Any

    def pixels(self, count: int) -> np.ndarray:
        """Some images as they are stored, uint8 ``[count, H, W, C]``, drawn from all over the set, always the same."""
        rows = np.sort(np.random.default_rng(0).permutation(len(self.source))[:count])
        return np.stack([np.asarray(self.source[int(row)]["image"]) for row in rows])

    def batches(self, count: int) -> Iterator[np.ndarray]:
        """So many, some at a time."""
        pixels = self.pixels(count)
        yield from (pixels[i : i + _BATCH] for i in range(0, len(pixels), _BATCH))

    @functools.cached_property
    def effective(self) -> PyTree:
        """The variables that the network computes with."""
        params = functools.reduce(lambda x, change: change(x), self.network.through, self.variables["params"])
        return {**self.variables, "params": params}

    @functools.cached_property
    def shown(self) -> Callable[[Any], jax.Array]:
        """From stored pixels to what the first layer reads; compiled once for each size of the batch."""
        return jax.jit(lambda pixels: self.network.reads(self.network.view.see({"image": pixels}))[0])


def of_run(run: str, which: str, data_dir: str) -> Subject:
    """A trained run; its images are those that it was trained on.

    Args:
      run: its folder.
      which: ``"last"`` or ``"best"``.
      data_dir: where datasets are prepared.

    Raises:
      UserError: if it has no checkpoint, its dataset is not there, or it reads more than images.
    """
    trained = TrainedRun.open(run, which)
    return of_trained(trained, trained.source(trained.identity["data"]["train"], data_dir))


def of_trained(trained: TrainedRun, source: Any) -> Subject:
    """A trained network.

    Args:
      trained: the network.
      source: of the images that it was trained on.

    Raises:
      UserError: if it reads more than images, or images of many sizes.
    """
    network = trained.network()
    if network.inputs != ("image",):
        raise UserError(
            f"{trained.folder} reads {', '.join(network.inputs)}: only networks that read images are exported"
        )
    if source.info.image_shape is None:
        raise UserError(
            f"{trained.folder} was trained on images of many sizes: only networks for one size are exported"
        )
    facts = {"run": str(trained.folder), "step": trained.step, "task": trained.task.name}
    names = tuple(trained.identity.get("class_names") or ())
    height, width, channels = source.info.image_shape
    return Subject(network, trained.variables(), (height, width, channels), names, facts, source)


def of_weights(name: str, images: str, image_size: int) -> Subject:
    """A network with weights from a package, and photos of a folder.

    Args:
      name: of a model whose weights a package has.
      images: the folder.
      image_size: that they are decoded to.

    Raises:
      UserError: if there are no such weights, or no images.
    """
    if not images:
        raise UserError("--images is missing: a folder of photos, by which the exported file is checked and calibrated")
    foreign = models.load_foreign(name)
    spec = foreign.input
    network = Network(models.create(name, foreign.num_classes), View(mean=tuple(spec.mean), std=tuple(spec.std)))
    names = tuple(foreign.class_names or ())
    size = image_size or spec.size
    source = UnlabelledFolder(Path(images), image_size=size, channels=3, class_names=names)
    return Subject(network, foreign.variables, (size, size, 3), names, {"weights": name}, source)


def chosen(run: str, which: str, weights: str, images: str, image_size: int, data_dir: str) -> Subject:
    """A run or a network of others, whichever is named.

    Raises:
      UserError: if none is, or both are, or what is named is not there.
    """
    if bool(run) == bool(weights):
        raise UserError("name either --run, a run's folder, or --weights, a model whose weights a package ships")
    return of_run(run, which, data_dir) if run else of_weights(weights, images, image_size)
