"""A state dict's arrays, laid out as the variables of a model."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError
from effjax.models import registry
from effjax.models.foreign.names import Scheme, Source, schemes_of
from effjax.models.foreign.state_dicts import AVERAGES

_log = logging.getLogger("effjax")

_BIAS = ("params", "classifier", "bias")
_NOT_OF_SHAPE = ("axis_name", "dtype", "taps")  # options that every network has
_TABLE = "position_table"  # a grid that follows the image's size

Place = tuple[str, ...]  # of an array among our variables
Shapes = dict[Place, tuple[int, ...]]
State = Mapping[str, np.ndarray]


class Fitted(NamedTuple):
    """Variables, and the classes of the classifier; 0: there is none."""

    variables: dict
    num_classes: int


class _Reading(NamedTuple):
    """A state dict, read by one scheme's names; ``hits`` counts those that are there, all under one prefix."""

    scheme: Scheme
    sources: dict[Place, Source]
    state: State
    prefix: str
    others: tuple[str, ...]
    hits: int


def fit(name: str, state: State, file: Path, side: int, *, options: Mapping[str, Any], needs_head: bool) -> Fitted:
    """Lays a state dict out as the variables of a model.

    Args:
      name: of the model.
      state: arrays by PyTorch's names; those of the network may be under a prefix, beside others that are left out.
      file: where they are from, for what is said.
      side: of the images that the model's shapes are for; a position table has the file's own grid.
      options: of the model.
      needs_head: whether a classifier has to be there; else one that is missing, or has several layers, is left out.

    Returns:
      The variables, float32, numpy.

    Raises:
      UserError: if they are those of another network, or of several that fit alike.
    """
    shapes = _shapes(name, side, options)
    reading = max((_read(scheme, shapes, state) for scheme in schemes_of(name)), key=lambda reading: reading.hits)
    _say(name, file, reading)
    bias = reading.state.get(reading.sources[_BIAS].keys[0])
    classes = 1000 if bias is None else max(1, bias.size)
    shapes = {place: (*shape[:-1], classes) if "classifier" in place else shape for place, shape in shapes.items()}
    laid = {place: _lay(source, reading.state, shapes[place]) for place, source in reading.sources.items()}
    for place, array in laid.items():
        if place[-1] == _TABLE and array is not None and array.shape[2:] == shapes[place][2:]:
            shapes[place] = array.shape
    head = [place for place in shapes if "classifier" in place]
    left = _without_head(reading, head) if not needs_head and not all(_fits(laid[p], shapes[p]) for p in head) else None
    if left is not None:
        _log.info("%s: no classifier is read, the model's own stays; left out: %s", file, _first(left))
        shapes, classes = {place: shape for place, shape in shapes.items() if place not in head}, 0
    _check(name, file, reading, laid, shapes, left or ())
    return Fitted(flax.traverse_util.unflatten_dict({p: np.array(laid[p], np.float32) for p in shapes}), classes)


def _shapes(name: str, side: int, options: Mapping[str, Any]) -> Shapes:
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    tree = jax.eval_shape(registry.create(name, 1, **options).init, jax.random.key(0), images)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(jax.tree_util.keystr((part,), simple=True) for part in path): leaf.shape for path, leaf in leaves}


def _read(scheme: Scheme, shapes: Shapes, state: State) -> _Reading:
    state = scheme.known(state)
    sources = dict(zip(shapes, scheme.sources(place[1:] for place in shapes), strict=True))
    wanted = {key for source in sources.values() for key in source.keys}
    votes: Counter[str] = Counter()
    for key in state:
        parts = key.split(".")
        ends = ((".".join(parts[:i]), ".".join(parts[i:])) for i in range(len(parts)))
        votes.update(prefix for prefix, end in ends if end in wanted)
    hits = max(votes.values(), default=0)
    prefixes = [prefix for prefix, count in votes.items() if count == hits] or [""]
    averages = [prefix for prefix in prefixes if prefix.rpartition(".")[2] in AVERAGES]
    prefixes = averages if len(averages) == 1 else prefixes
    start = f"{prefixes[0]}." if prefixes[0] else ""
    own = {key.removeprefix(start): array for key, array in state.items() if key.startswith(start)}
    return _Reading(scheme, sources, own, start, tuple(prefixes[1:]), hits)


def _say(name: str, file: Path, reading: _Reading) -> None:
    first = reading.prefix.removesuffix(".")
    if reading.others and reading.hits > len(reading.sources) // 2:
        several = ", ".join((first or "no prefix", *reading.others))
        raise UserError(f"{file} has several networks like {name}: under {several}; say {file}#{reading.others[0]}")
    if first:
        average = ", an average over the training," if first.rpartition(".")[2] in AVERAGES else ""
        _log.info("%s: the weights under %r%s are read", file, first, average)
    if reading.scheme.said:
        _log.info("%s: %s", file, reading.scheme.said)


def _lay(source: Source, state: State, shape: tuple[int, ...]) -> np.ndarray | None:
    """An array in our layout; None where something is missing."""
    arrays = [state[key] for key in source.keys if key in state]
    if len(arrays) < len(source.keys):
        return None
    if not all(jnp.issubdtype(array.dtype, jnp.floating) for array in arrays):  # bfloat16 is none to numpy itself
        return arrays[0]
    if source.lay is not None:
        try:
            return source.lay(*(array.astype(np.float32) for array in arrays))
        except (ValueError, IndexError):
            return arrays[0]
    array = arrays[0].transpose((2, 3, 1, 0)) if arrays[0].ndim == 4 else arrays[0].T
    # A 1×1 convolution is a dense layer, and scales and tokens have axes of length one that ours have not.
    alike = [size for size in array.shape if size > 1] == [size for size in shape if size > 1]
    return array.reshape(shape) if alike else array


def _fits(array: np.ndarray | None, shape: tuple[int, ...]) -> bool:
    return array is not None and array.shape == shape and jnp.issubdtype(array.dtype, jnp.floating)


def _without_head(reading: _Reading, head: Sequence[Place]) -> list[str]:
    """The arrays of the head that is not ours."""
    modules = {key.rpartition(".")[0] for place in head for key in reading.sources[place].keys}
    return [key for key in reading.state if any(key.startswith(f"{module}.") for module in modules)]


def _check(
    name: str,
    file: Path,
    reading: _Reading,
    laid: Mapping[Place, np.ndarray | None],
    shapes: Shapes,
    left: Sequence[str],
) -> None:
    sources, state = reading.sources, reading.state
    used = {key for place in shapes for key in sources[place].keys} | set(left)
    wrong = [
        (place, laid[place]) for place in shapes if laid[place] is not None and not _fits(laid[place], shapes[place])
    ]
    problems = {
        "missing": [key for place in shapes for key in sources[place].keys if key not in state],
        "surplus": [key for key in state if key not in used],
        "misshapen": [
            f"{sources[place].keys[0]} {array.dtype}{list(array.shape)}≠{list(shapes[place])}"
            for place, array in wrong
            if array is not None
        ],
    }
    found = [f"{len(keys)} {problem} ({_first(keys)})" for problem, keys in problems.items() if keys]
    if found:
        own = [option for option in registry.options(name) if option not in _NOT_OF_SHAPE]
        other = f", or one with other options ({', '.join(own)})" if own else ""
        raise UserError(f"{file}: not the weights of {name}: {'; '.join(found)}; is it another model{other}?")


def _first(keys: Sequence[str], count: int = 5) -> str:
    return ", ".join(sorted(keys)[:count]) + (", …" if len(keys) > count else "")
