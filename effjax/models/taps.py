"""What a model returns: predictions, and the intermediate activations ("taps") that were asked for.

The models hand their activations to a ``Taps`` recorder under the path of the module that made them. It is plain
Python that runs while tracing, so a tap that nobody asked for costs nothing. Flax's ``capture_intermediates``
would return a nested collection of tuples beside the result, sees module outputs only (a convolution before its
non-linearity, never after it), and lets a path that matches nothing go unnoticed.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.errors import UserError, nearest


class Outputs(NamedTuple):
    """What every model returns.

    Attributes:
      preds: any tree of predictions, arrays ``[B, ...]``; a classifier's are its logits, ``[B, K]`` float32.
      taps: activations by path, e.g. ``{"stage1/block2": [B, H, W, C]}``, in the model's compute dtype.
    """

    preds: Any
    taps: dict[str, jax.Array]

    @property
    def logits(self) -> jax.Array:
        """The predictions of a classifier."""
        return self.preds


class Taps:
    """Keeps the activations whose whole path one of ``patterns`` (exact, or a regular expression) matches."""

    def __init__(self, patterns: tuple[str, ...]):
        self._patterns = patterns
        self._seen: list[str] = []
        self._kept: dict[str, jax.Array] = {}

    def keep(self, path: str, activation: jax.Array) -> None:
        """Keeps an activation if it was asked for."""
        self._seen.append(path)
        if any(re.fullmatch(pattern, path) for pattern in self._patterns):
            self._kept[path] = activation

    def offer(self, path: str, activation: Callable[[], jax.Array]) -> None:
        """Keeps an activation that only its very name asks for: no pattern does, and nobody else has it computed."""
        self._seen.append(path)
        if path in self._patterns:
            self._kept[path] = activation()

    def exchange(self, kept: dict[str, jax.Array]) -> dict[str, jax.Array]:
        """Puts other activations in the place of those that are kept, and returns these."""
        self._kept, before = kept, self._kept
        return before

    def add(self, kept: dict[str, jax.Array]) -> None:
        """Keeps more activations, that another recorder was asked for."""
        self._kept |= kept

    def collect(self) -> dict[str, jax.Array]:
        """Returns the kept activations; raises UserError if a pattern matched none of the paths."""
        for pattern in self._patterns:
            if not any(re.fullmatch(pattern, path) for path in self._seen):
                allowed = nearest(pattern, self._seen)
                raise UserError(f"model option taps: {pattern!r} matches no activation of this model; {allowed}")
        return self._kept


def tap_paths(module: nn.Module, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Lists every path that the option ``taps`` of this model can ask for, in the order of the forward pass.

    Nothing is computed.

    Args:
      module: a model that ``create`` made.
      image_shape: ``(H, W, C)``.

    Returns:
      Paths such as ``"stage1/block2"``; the last is ``"penultimate"``, the features that the classifier reads. Those
      that are computed for who asks by name alone, such as ``class_maps``, are not among them.
    """
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    with_all = module.clone(taps=(".*",))
    seen: list[str] = []

    def trace(key, images):
        outputs, _ = with_all.init_with_output(key, images)
        seen.extend(outputs.taps)

    jax.eval_shape(trace, jax.random.key(0), images)
    return tuple(seen)


def params_up_to(module: nn.Module, tap: str, image_shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Lists the parameters that an activation depends on: those of the layers up to it, and no other.

    Nothing is computed: the program is traced and followed back from the activation.

    Args:
      module: a model that ``create`` made.
      tap: the path of one activation.
      image_shape: ``(H, W, C)``.

    Returns:
      Paths such as ``"stage1/block2/conv1/kernel"``, in the order of the tree.

    Raises:
      UserError: if there is no such activation.
    """
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = dict(jax.eval_shape(module.init, jax.random.key(0), images))
    params = variables.pop("params")
    tapped = module.clone(taps=(re.escape(tap),))

    def activation(params, variables, images):
        return cast(Outputs, tapped.apply({"params": params, **variables}, images)).taps[tap]

    jaxpr = jax.make_jaxpr(activation)(params, variables, images).jaxpr
    needed = {id(var) for var in jaxpr.outvars}
    for equation in reversed(jaxpr.eqns):
        if any(id(var) in needed for var in equation.outvars):
            needed.update(id(var) for var in equation.invars)
    paths = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    return tuple(path for path, var in zip(paths, jaxpr.invars, strict=False) if id(var) in needed)
