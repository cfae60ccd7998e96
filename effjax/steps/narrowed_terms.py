"""What terms learn beside a student that loses channels: the regressors of hints."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax.errors import UserError
from effjax.models.deployed.channels import OuterArray
from effjax.pruning.paths import by_path, tree_of
from effjax.steps.state import TrainState
from effjax.steps.term import Term
from effjax.typing import PyTree


def with_identities(state: TrainState, shapes: TrainState) -> TrainState:
    """Adds the regressors that the next stage has and this one has not, for activations had the teacher's shape.

    They are identities, so that every term is what it was; the optimiser has no moments of them yet.

    Args:
      state: of the stage that ends.
      shapes: its shapes in the stage that begins.

    Raises:
      UserError: if what would be added normalises.
    """
    leaves = by_path(state)
    fresh = {
        path: _identity(path, leaf.shape, leaf.dtype)
        for path, leaf in _of_terms(shapes.params).items()
        if f"params/{path}" not in leaves
    }
    if not fresh:
        return state
    for path, leaf in fresh.items():
        if not path.endswith(("/kernel", "/bias")):  # of what normalises, which is no identity whatever it has
            raise refused(path, None, leaf.shape)
    for path in by_path(shapes):
        own = next((own for own in fresh if path.endswith(f"/{own}")), None)
        if own and path not in leaves:
            leaves[path] = np.zeros_like(fresh[own]) if path.startswith("opt_state/") else fresh[own]
    return tree_of(leaves, state.replace(params=shapes.params, opt_state=shapes.opt_state, ema=shapes.ema))


def _identity(path: str, narrow: tuple[int, ...], dtype: Any) -> np.ndarray:
    if path.endswith("/kernel") and set(narrow[:-2]) <= {1}:
        return np.eye(narrow[-1], dtype=dtype).reshape(*narrow[:-2], narrow[-1], narrow[-1])
    return np.zeros(narrow, dtype)


def readers_of(
    params: Mapping[str, PyTree], shapes: Mapping[str, PyTree], terms: Mapping[str, Term]
) -> tuple[OuterArray, ...]:
    """Which of the terms' parameters lie along channels of the student that go.

    Args:
      params: of the stage that ends, the terms' own by their names.
      shapes: the parameters' shapes in the stage that begins.
      terms: the run's, by name.

    Raises:
      UserError: if something would have another shape for another reason than that an activation has fewer channels.
    """
    before, after = _of_terms(params), _of_terms(shapes)
    found = []
    for path in {**before, **after}:
        old, new = (np.shape(some[path]) if path in some else None for some in (before, after))
        if old == new:
            continue
        taps = terms[name].student_taps if (name := path.partition("/")[0]) in terms else ()
        axis = _shorter(old, new)
        if old is None or axis is None or len(taps) != 1:
            raise refused(path, old, new)
        found.append(OuterArray(taps[0], path, axis - len(old), old[axis]))
    return tuple(found)


def _shorter(old: tuple[int, ...] | None, new: tuple[int, ...] | None) -> int | None:
    """The only axis on which two shapes differ."""
    if old is None or new is None or len(old) != len(new):
        return None
    axes = [axis for axis, (size, other) in enumerate(zip(old, new, strict=True)) if size != other]
    return axes[0] if len(axes) == 1 else None


def check_terms(params: Mapping[str, PyTree], shapes: Mapping[str, PyTree]) -> None:
    """Raises UserError where what a term learns has not become what it is in the stage that begins."""
    for path, leaf in _of_terms(shapes).items():
        if np.shape(own := _of_terms(params)[path]) != leaf.shape:
            raise refused(path, np.shape(own), leaf.shape)


def refused(path: str, old: tuple[int, ...] | None, new: tuple[int, ...] | None) -> UserError:
    """Says what cannot follow the network."""
    has = f"has shape {old}" if old else "is not there"
    return UserError(
        f"params/{path} {has} and would have {new}: what a term learns beside the network cannot follow it; "
        "take a term without parameters, such as attention, or a tap whose channels stay"
    )


def _of_terms(params: Mapping[str, PyTree]) -> dict[str, Any]:
    return by_path({name: tree for name, tree in params.items() if name != "student"})
