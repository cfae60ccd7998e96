"""Arrays that depend on a network's variables alone: known as expressions, computed when variables are given.

So one graph serves every checkpoint of a module, and the gradient of what was folded reaches the variables.
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from effjax.typing import Array, PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Constant:
    """One such array; a node of a program that computes it.

    Attributes:
      shape: its shape.
      dtype: its type.
      compute: makes it of the arrays ``of``; None for what is given.
      of: what it is computed of.
      path: of a variable, ``params/stem_conv/kernel``; empty for others.
      array: its value if that is given; None for a variable.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    compute: Callable[..., Any] | None = None
    of: tuple["Constant", ...] = ()
    path: str = ""
    array: np.ndarray | None = None

    @classmethod
    def given(cls, array: Any) -> "Constant":
        """A number, or an array that is the same for all variables."""
        known = np.asarray(array)
        return cls(known.shape, known.dtype, array=known)

    @classmethod
    def variable(cls, path: str, shape: tuple[int, ...], dtype: np.dtype) -> "Constant":
        """A variable, found at ``path``."""
        return cls(shape, np.dtype(dtype), path=path)

    @classmethod
    def computed(cls, compute: Callable[..., Any], *of: "Constant", shape: tuple[int, ...] | None = None) -> "Constant":
        """What a pure function makes of others; of given ones, it is given.

        Args:
          compute: the function.
          *of: its arguments.
          shape: of its result, which has the first one's type; None: to be found out, which takes a millisecond.
        """
        if all(one.array is not None for one in of):
            with jax.ensure_compile_time_eval():  # inside another program, too
                return cls.given(np.asarray(compute(*(one.array for one in of))))
        if shape is not None:
            return cls(shape, of[0].dtype, compute, of)
        found = jax.eval_shape(compute, *(jax.ShapeDtypeStruct(one.shape, one.dtype) for one in of))
        return cls(tuple(found.shape), np.dtype(found.dtype), compute, of)

    @functools.cached_property
    def sources(self) -> frozenset[str]:
        """The paths of the variables that it depends on."""
        return frozenset({self.path} if self.path else ()).union(*(one.sources for one in self.of))

    def __add__(self, other: "Constant") -> "Constant":
        return Constant.computed(operator.add, self, other, shape=np.broadcast_shapes(self.shape, other.shape))

    def __mul__(self, other: "Constant") -> "Constant":
        return Constant.computed(operator.mul, self, other, shape=np.broadcast_shapes(self.shape, other.shape))

    def __neg__(self) -> "Constant":
        return Constant.computed(operator.neg, self, shape=self.shape)

    def reshape(self, shape: tuple[int, ...]) -> "Constant":
        """The same elements in another shape."""
        if shape == self.shape:
            return self
        return Constant.computed(lambda array: array.reshape(shape), self, shape=shape)

    def spread(self, shape: tuple[int, ...]) -> "Constant":
        """The same, repeated along axes of length one, and along new ones in front."""
        if shape == self.shape:
            return self
        return Constant.computed(lambda array: _like(array).broadcast_to(array, shape), self, shape=shape)

    def is_all(self, number: float) -> bool:
        """Whether every element is this number, whatever the variables are."""
        return self.array is not None and bool(np.all(self.array == number))


def _like(array: Array):
    return np if isinstance(array, np.ndarray) else jnp


def evaluate(wanted: Iterable[Constant], variables: Mapping[str, PyTree]) -> list[Array]:
    """Computes constants; pure, so it may be traced.

    Args:
      wanted: which.
      variables: a network's, as a tree of mappings.

    Returns:
      Their arrays, in order.
    """
    known: dict[Constant, Array] = {}

    def value(one: Constant) -> Array:
        if one not in known:
            if one.array is not None:
                known[one] = jnp.asarray(one.array)
            elif one.compute is None:
                known[one] = functools.reduce(lambda tree, key: tree[key], one.path.split("/"), cast(Any, variables))
            else:
                known[one] = one.compute(*(value(part) for part in one.of))
        return known[one]

    return [value(one) for one in wanted]
