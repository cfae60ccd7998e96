"""Several networks in one program: the same pure function, mapped over their states."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from effjax.steps.dispatch import has_convolution
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Together:
    """Several networks that one program trains, each with its own seed and its own batches.

    Attributes:
      count: how many.
      kind: what they are of one another: runs of several ``seeds``, the ``ensemble`` of one run, or the ``folds`` of
        its cross-validation, each of which leaves out its own part of the examples.
    """

    count: int
    kind: Literal["seeds", "ensemble", "folds"]

    def seeds(self, seed: int) -> list[int]:
        """The seed of each network of a run that has this one."""
        return [seed * self.count + member for member in range(self.count)]


def over_members(function: Callable, in_axes: Sequence[int | None], *, unroll: bool) -> Callable:
    """Maps a function over the first axis of those arguments whose ``in_axes`` is 0, as :func:`jax.vmap` does.

    Args:
      function: pure.
      in_axes: 0 or None, an argument each.
      unroll: whether the members are laid out one after the other. On CPU a convolution whose kernels are mapped is 6
        to 17 times slower than that; dense layers are better off mapped. On GPU and TPU all are: it compiles faster.

    Returns:
      The mapped function; its results have the members' axis first.
    """
    if not unroll:
        return jax.vmap(function, in_axes=tuple(in_axes))

    def unrolled(*args: PyTree) -> PyTree:
        mapped = [arg for arg, axis in zip(args, in_axes, strict=True) if axis == 0]
        count = jax.tree.leaves(mapped)[0].shape[0]
        results = []
        for member in range(count):
            own = [member_of(arg, member) if axis == 0 else arg for arg, axis in zip(args, in_axes, strict=True)]
            results.append(function(*own))
        return stack_members(results)

    return unrolled


def ensemble_apply(apply: Callable[[PyTree, PyTree], PyTree], params: PyTree, inputs: PyTree) -> PyTree:
    """Runs every member of an ensemble on the same inputs, the way that is fast on the default backend.

    Args:
      apply: one network, ``(params, inputs) -> outputs``.
      params: of all members, their axis first: see :func:`stack_members`.
      inputs: shared.

    Returns:
      The outputs with the members' axis first.
    """
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), params)
    unroll = jax.default_backend() == "cpu" and has_convolution(apply, one, inputs)
    return over_members(apply, (0, None), unroll=unroll)(params, inputs)


def stack_members(trees: Sequence[PyTree]) -> PyTree:
    """Makes one tree of several of the same structure, the members' axis first."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def member_of(tree: PyTree, member: int) -> PyTree:
    """One member's part of a tree."""
    return jax.tree.map(lambda x: x[member], tree)
