"""Reads what a network computes off its jaxpr.

The variables are inputs of the program, so each constant of the graph is traced back to them. The program is followed
into its calls; of parts that platforms compute in their own ways the default is taken.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from effjax.errors import UserError
from effjax.models.deployed import operations as ops
from effjax.models.deployed.constants import Constant
from effjax.models.deployed.graph import Node
from effjax.models.deployed.primitives import DIVIDING, MOVING, RULES
from effjax.models.deployed.traced import BATCH, Known, Traced, Value
from effjax.typing import PyTree

_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint", "core_call")
_NOTHING = ("stop_gradient", "copy", "copy_p", "optimization_barrier")


def trace(call: Callable, variables: PyTree, image_shape: tuple[int, int, int]) -> tuple[list[Node], PyTree]:
    """Traces a network.

    Args:
      call: from variables and images to what is returned.
      variables: arrays or shapes.
      image_shape: ``(H, W, C)``.

    Returns:
      The operations, and the outputs: a tree of numbers of values.

    Raises:
      UserError: if it does what no operation stands for, or mixes the examples of a batch.
    """
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), variables)
    images = jax.ShapeDtypeStruct((BATCH, *image_shape), jnp.float32)
    closed, returned = jax.make_jaxpr(call, return_shape=True)(shapes, images)
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    given: list[Traced] = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        given.append(Known(Constant.variable(name, leaf.shape, leaf.dtype), leaf.shape))
    reader = Reader()
    outputs = reader.read(closed.jaxpr, closed.consts, [*given, Value(0, images.shape)])
    numbers = [reader.value_of(one).number for one in outputs]
    return reader.nodes, jax.tree.unflatten(jax.tree.structure(returned), numbers)


class Reader:
    """Follows a jaxpr, and notes the operations on images."""

    def __init__(self):
        self.nodes: list[Node] = []

    def read(self, jaxpr: core.Jaxpr, consts: Sequence[Any], inputs: Sequence[Traced]) -> list[Traced]:
        """Follows a program, given its constants and inputs; returns its outputs."""
        known: dict[core.Var, Traced] = {}
        for var, array in zip(jaxpr.constvars, consts, strict=True):
            known[var] = _given(array)
        known.update(zip(jaxpr.invars, inputs, strict=True))

        def lookup(var: core.Var | core.Literal) -> Traced:
            return _given(var.val) if isinstance(var, core.Literal) else known[var]

        for equation in jaxpr.eqns:
            found = self._equation(equation, [lookup(var) for var in equation.invars])
            known.update(zip(equation.outvars, found, strict=True))
        return [lookup(var) for var in jaxpr.outvars]

    def value_of(self, one: Traced, rank: int = 0) -> Value:
        """A value; a constant becomes one that is stored, ``[1, ...]``, of ``rank`` axes at least."""
        if isinstance(one, Value):
            return one
        shape = (1,) * (rank - len(one.shape)) + one.shape
        shape = (1, *shape[1:]) if shape[:1] == (BATCH,) else shape
        small = (1,) * (len(shape) - len(one.constant.shape)) + one.constant.shape
        if shape[:1] != (1,):
            raise UserError("a network that returns, or reads, arrays without examples cannot be deployed")
        constant = one.constant.reshape(small).spread(shape)
        return self.add(ops.Stored(), (), (BATCH, *shape[1:]), {"value": constant})

    def add(
        self,
        operation: ops.Operation,
        inputs: Sequence[Value],
        shape: tuple[int, ...],
        constants: Mapping[str, Constant] | None = None,
    ) -> Value:
        """Notes an operation; ``shape`` is its value's, the batch first.

        Raises:
          UserError: if the batch does not come first, or another axis has examples too.
        """
        if shape[:1] != (BATCH,) or any(size % BATCH == 0 for size in shape[1:] if size):
            raise UserError(
                f"{type(operation).__name__.lower()} mixes the examples of a batch: such a network cannot be deployed"
            )
        number = len(self.nodes) + 1
        numbers = tuple(one.number for one in inputs)
        self.nodes.append(Node("", operation, numbers, number, shape[1:], constants or {}))
        return Value(number, shape)

    def _equation(self, equation: core.JaxprEqn, inputs: list[Traced]) -> list[Traced]:
        name, params = equation.primitive.name, equation.params
        if name in _CALLS:
            return self._call(equation, inputs)
        if name == "platform_index":
            platforms = params["platforms"]
            return [_given(np.int32(next((i for i, one in enumerate(platforms) if one is None), len(platforms))))]
        if name == "cond":
            return self._branch(params["branches"], inputs)
        if name in _NOTHING:
            return inputs
        shapes = [tuple(_aval(var).shape) for var in equation.outvars]
        if name in DIVIDING:
            return DIVIDING[name](self, inputs[0], params)
        if all(isinstance(one, Known) for one in inputs):
            return [_computed(equation, [one for one in inputs if isinstance(one, Known)], shapes)]
        moved = any(isinstance(one, Value) and one.batch for one in inputs)
        if name not in RULES or (moved and name not in MOVING):
            raise UserError(f"{name!r} cannot be deployed; allowed: {', '.join(sorted((*RULES, *DIVIDING)))}")
        return [RULES[name](self, inputs, params, shapes[0])]

    def _call(self, equation: core.JaxprEqn, inputs: list[Traced]) -> list[Traced]:
        params = equation.params
        called = next(params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params)
        return self.read(getattr(called, "jaxpr", called), getattr(called, "consts", ()), inputs)

    def _branch(self, branches: Sequence[Any], inputs: list[Traced]) -> list[Traced]:
        index = inputs[0].constant.array if isinstance(inputs[0], Known) else None
        if index is None:
            raise UserError("'cond' cannot be deployed: which branch is taken depends on the images or the variables")
        branch = branches[int(np.clip(index, 0, len(branches) - 1))]
        return self.read(branch.jaxpr, branch.consts, inputs[1:])


def _aval(var: core.Var) -> Any:
    return var.aval


def _given(array: Any) -> Known:
    constant = Constant.given(array)
    return Known(constant, constant.shape)


def _computed(equation: core.JaxprEqn, inputs: list[Known], shapes: Sequence[tuple[int, ...]]) -> Known:
    """An operation on constants is left for later, when the variables are known."""
    (shape,), name, params = shapes, equation.primitive.name, equation.params
    if name == "broadcast_in_dim":
        (one,), dims = inputs, params["broadcast_dimensions"]
        small = (1,) * (len(one.shape) - len(one.constant.shape)) + one.constant.shape
        spread = [1] * len(shape)
        for axis, size in zip(dims, small, strict=True):
            spread[axis] = size
        return Known(one.constant.reshape(tuple(spread)), shape)

    def bind(*arrays):
        return equation.primitive.bind(*arrays, **params)

    if _is_elementwise(name):  # what broadcasts still does afterwards
        small = np.broadcast_shapes(*(one.constant.shape for one in inputs))
        typed = small if _aval(equation.outvars[0]).dtype == inputs[0].constant.dtype else None
        return Known(Constant.computed(bind, *(one.constant.spread(small) for one in inputs), shape=typed), shape)
    return Known(Constant.computed(bind, *(one.constant.spread(one.shape) for one in inputs)), shape)


def _is_elementwise(name: str) -> bool:
    return name in ops.ELEMENTWISE or name in ("convert_element_type", "integer_pow", "square")
