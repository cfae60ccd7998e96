"""Trained networks side by side: from their runs' folders to functions of pixels in ``[0, 1]``."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from effjax import analysis, models
from effjax.data.base import Source
from effjax.errors import UserError
from effjax.recipes.build.trained import TrainedRun
from effjax.typing import Array, PyTree


class Network:
    """A trained network on its own scale of pixels.

    Attributes:
      label: what reports call it.
      run: its folder.
      step: of its checkpoint.
      trained: the run as it lies in its folder.
      identity: what it was trained as.
    """

    def __init__(self, label: str, run: str, which: str):
        self.trained = TrainedRun.open(run, which)
        self.label, self.run, self.step = label, str(run), self.trained.step
        self.identity: Mapping[str, Any] = self.trained.identity
        self._variables = jax.device_put(self.trained.effective())
        self._scale = tuple(
            np.asarray(values, np.float32) for values in (self.trained.view.mean, self.trained.view.std)
        )
        self._model = self.trained.model()

    def logits(self, pixels: jax.Array) -> jax.Array:
        """The answers ``[B, K]`` to pixels ``[B, H, W, C]``."""
        return _answer(self._model, self._variables, self._scale, pixels)

    def look(self, pixels: Array, labels: Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Where the evidence for the labels is seen, ``[B, h, w]``, and by layer the Gram matrix ``[B, B]``."""
        return _look(self._model, self._variables, self._scale, pixels, labels)

    def attack(self, pixels: jax.Array, epsilon: float, steps: int = 5) -> jax.Array:
        """Leads the network away from its own answers, by at most ``epsilon`` a pixel."""
        answers, attacked = self.logits(pixels).argmax(-1), pixels
        size = analysis.step_size(epsilon, steps)
        for _ in range(steps):  # one small program, called in turn
            attacked = _attack_step(self._model, self._variables, self._scale, attacked, answers, pixels, epsilon, size)
        return attacked

    def evidence(self, shape: tuple[int, int, int]) -> str:
        """How :meth:`look` makes its map: by Grad-CAM at this layer, or ``""``: there is none, by gradient × input."""
        return _last_maps(self._model, shape)


# Programs of the architecture, not of the network: seeds and students of one kind share them.


def _apply(model: nn.Module, variables: PyTree, scale, pixels: jax.Array) -> models.Outputs:
    mean, std = scale
    return cast(models.Outputs, model.apply(variables, (pixels - mean) / std, train=False))


@functools.partial(jax.jit, static_argnums=0)
def _answer(model: nn.Module, variables: PyTree, scale, pixels: jax.Array) -> jax.Array:
    return _apply(model, variables, scale, pixels).logits.astype(jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def _attack_step(model: nn.Module, variables: PyTree, scale, pixels, labels, origin, epsilon, size) -> jax.Array:
    answer = functools.partial(_answer, model, variables, scale)
    return analysis.fgsm_step(answer, pixels, labels, origin, epsilon=epsilon, step_size=size)


@functools.partial(jax.jit, static_argnums=0)
def _look(model: nn.Module, variables: PyTree, scale, pixels, labels) -> tuple[jax.Array, dict[str, jax.Array]]:
    shape = pixels.shape[1:]
    evidence = _last_maps(model, shape)
    layers = [path for path in models.tap_paths(model, shape) if "/" not in path]
    tapped = model.clone(taps=tuple(map(re.escape, sorted({*layers, evidence} - {""}))))

    def own_logit(pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs = _apply(tapped, variables, scale, pixels)
        own = jnp.take_along_axis(outputs.logits, labels[:, None], axis=-1)
        return own, outputs.taps.get(evidence, pixels)

    _, inner, gradient = analysis.value_and_inner_grad(own_logit, pixels)
    to_map = analysis.grad_cam if evidence else analysis.gradient_times_input
    taps, distinct = _apply(tapped, variables, scale, pixels).taps, {}
    for layer in layers:  # the features that the classifier reads may be the last layer's own
        if not any(taps[layer] is other for other in distinct.values()):
            distinct[layer] = taps[layer]
    return to_map(inner, gradient), {layer: analysis.linear_gram(x) for layer, x in distinct.items()}


def _last_maps(model: nn.Module, shape: tuple[int, int, int]) -> str:
    """The last activation that has a height and a width, or ``""``."""
    paths = models.tap_paths(model, shape)
    tapped = model.clone(taps=tuple(map(re.escape, paths)))
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    outputs, _ = jax.eval_shape(tapped.init_with_output, jax.random.key(0), images)
    return next((path for path in reversed(paths) if outputs.taps[path].ndim == 4), "")


@dataclasses.dataclass(frozen=True)
class Panel:
    """The networks that are compared.

    Attributes:
      teacher: whom the others are compared with.
      students: that learnt from it.
      controls: that did not.
      foreign: whose attack is the control of the teacher's: a network of its own, or the last of the controls.
    """

    teacher: Network
    students: tuple[Network, ...]
    controls: tuple[Network, ...]
    foreign: Network | None

    @property
    def all(self) -> tuple[Network, ...]:
        """Every network once."""
        extra = () if self.foreign is None or self.foreign in self.controls else (self.foreign,)
        return (self.teacher, *self.students, *self.controls, *extra)


def open_panel(teacher: str, students: Sequence[str], controls: Sequence[str], foreign: str, which: str) -> Panel:
    """Reads the networks from their runs' folders, each given as ``RUN`` or ``label=RUN``.

    Raises:
      UserError: if there is no checkpoint, a label is given twice, or the networks know other data than the teacher.
    """
    if not students:
        raise UserError("--students is empty: name at least one run that learnt from the teacher")
    named = {
        "--teacher": [teacher],
        "--students": students,
        "--controls": controls,
        "--foreign": [foreign][: len(foreign)],
    }
    roles = {flag: tuple(_open(flag, run, which) for run in runs) for flag, runs in named.items()}
    (first,), everyone = roles["--teacher"], [network for role in roles.values() for network in role]
    for network in everyone:
        if sum(network.label == other.label for other in everyone) > 1:
            raise UserError(f"{network.label!r} names two runs: give them labels, as in mine={network.run}")
        _check_fits(network, first)
    others = roles["--foreign"] or roles["--controls"][-1:]
    return Panel(first, roles["--students"], roles["--controls"], others[0] if others else None)


def _open(flag: str, given: str, which: str) -> Network:
    label, _, run = given.partition("=") if re.match(r"[^/=]+=", given) else ("", "", given)
    if not run:
        raise UserError(f"{flag}={given!r} names no run's folder; write {flag}=RUN or {flag}=label=RUN")
    path = Path(run)
    seeded = path.name.startswith("seed_")
    return Network(label or (f"{path.parent.name} {path.name.replace('_', ' ')}" if seeded else path.name), run, which)


def _check_fits(network: Network, teacher: Network) -> None:
    ours, theirs = network.identity, teacher.identity
    facts = {"data.name": "the dataset", "data.classes": "classes made of", "data.image_size": "the image size"}
    facts |= {"num_classes": "the number of classes", "class_names": "the classes"}
    for key, what in facts.items():
        own, other = _at(ours, key), _at(theirs, key)
        if own is not None and other is not None and own != other:
            raise UserError(
                f"{network.run} cannot be compared with the teacher {teacher.run}: {what} ({key}) is {own!r} there, "
                f"{other!r} for the teacher; compare networks of the same data"
            )


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def open_source(teacher: Network, dataset: str, split: str, data_dir: str) -> Source:
    """Opens the split of the teacher's dataset, or of another with the same classes.

    Raises:
      UserError: if it is not there, its images differ in size, or it has other classes.
    """
    source = teacher.trained.source(split, data_dir, dataset)
    if source.info.image_shape is None:
        raise UserError(
            f"images of {source.info.name!r} differ in size: analyze runs that were trained with config.data.image_size"
        )
    return source


def over_batches(function: Callable, size: int, *arrays: np.ndarray) -> list:
    """Calls a function on batches of rows, all of one size: the last row fills the last batch up."""
    count = len(arrays[0])
    results = []
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        results.append(function(*(array[rows] for array in arrays)))
    return results
