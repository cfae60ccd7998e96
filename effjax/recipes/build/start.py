"""Starting a run from weights that were trained elsewhere."""

import logging

import jax
import numpy as np

from effjax import models
from effjax.errors import UserError
from effjax.models import foreign
from effjax.pruning.paths import path_name
from effjax.recipes.build.assemble import AssembledRun
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.hashes import params_sha256
from effjax.steps import TrainState, resize_table
from effjax.typing import PyTree

_log = logging.getLogger("effjax")

_SHIPPED = "shipped"
_FIRST_KERNELS = ("params/stem_conv/kernel", "params/block1_conv1/kernel")
_BACKBONE = "backbone"  # what models call that which they are built on


def start_from(state: TrainState, assembled: AssembledRun, datasets: Datasets, key: str) -> tuple[TrainState, str]:
    """Puts foreign weights in the place of the student's; the classifier stays as drawn where the classes differ.

    Of a network that is built on another they are that one's; what is built on it stays as drawn.

    Args:
      state: the state before the first step, on the host.
      assembled: the run.
      datasets: the experiment's data.
      key: of the run's config, for errors.

    Returns:
      The state, and the hash of the weights.

    Raises:
      UserError: if the weights do not fit, or expect their input on another scale than the view gives.
    """
    given = assembled.config["init"]
    backbone = getattr(assembled.model, "backbone", None)
    name = backbone or assembled.config["model"]["name"]
    known = models.options(name)
    options = {option: value for option, value in assembled.config["model"].items() if option in known}
    loaded = foreign.load_foreign(name, None if given == _SHIPPED else given, options=options, needs_head=False)
    mean, std = loaded.input.mean, loaded.input.std
    view = datasets.view
    if given == _SHIPPED and not (np.allclose(mean, view.mean) and np.allclose(std, view.std)):
        raise UserError(
            f"{key}.init={given!r}: these weights expect config.view.mean={mean} and std={std}, "
            f"not {view.mean} and {view.std}"
        )
    variables = loaded.variables
    if datasets.train[0]["image"].shape[-1] == 1:
        if len({*mean}) > 1 or len({*std}) > 1:
            raise UserError(f"{key}.init={given!r}: these weights scale red, green and blue apart; the images are grey")
        variables = _for_grey(variables)
    drawn = {"params": state.params["student"], **state.model_state}
    if backbone is not None:
        variables = {name: {_BACKBONE: tree} for name, tree in variables.items()}

    def fit(path, own: np.ndarray) -> np.ndarray:
        on_top = backbone is not None and path_name(path).split("/")[1] != _BACKBONE
        return own if on_top else _fit(path, own, variables, key)

    fitted = jax.tree_util.tree_map_with_path(fit, drawn)
    if loaded.num_classes not in (0, datasets.info.num_classes):
        _log.info(
            "%s.init=%r: its classifier of %d classes is left out; the model's own, of %d, stays as drawn",
            *(key, given, loaded.num_classes, datasets.info.num_classes),
        )
    params = {**state.params, "student": fitted.pop("params")}
    ema = params if state.ema != () else ()
    return state.replace(params=params, model_state=fitted, ema=ema), params_sha256(loaded.variables)


def _for_grey(variables: PyTree) -> PyTree:
    """Adds the first layer's kernels up over the colours: what grey, written three times, would give."""

    def fold(path, leaf):
        name = path_name(path)
        if name == "params/embed/kernel":  # of patches, pixel after pixel
            return leaf.reshape(-1, 3, leaf.shape[-1]).sum(1)
        return leaf.sum(2, keepdims=True) if name in _FIRST_KERNELS else leaf

    return jax.tree_util.tree_map_with_path(fold, variables)


def _fit(path, own: np.ndarray, variables: PyTree, key: str) -> np.ndarray:
    name, found = path_name(path), variables
    for part in name.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    if found is not None and found.shape == own.shape:
        return np.asarray(found, own.dtype)
    if found is not None and (table := resize_table(name, np.asarray(found), own.shape)) is not None:
        return np.asarray(table, own.dtype)
    if "classifier/" in name:  # other classes: a new one
        return own
    shape = None if found is None else found.shape
    raise UserError(f"{key}.init: {name} is {own.shape} in the model, {shape} in the weights")
