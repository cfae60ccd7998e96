"""Reads what a network computes off its jaxpr.

The variables are inputs of the program, so each constant of the graph is traced back to them. The program is followed
into its calls; of parts that platforms compute in their own ways the default is taken.
"""

import dataclasses
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
from effjax.typing import PyTree

# A batch of a size that no axis of a vision model has; every axis of this size is one of examples.
_BATCH = 8191

_CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint", "core_call")
_NOTHING = ("stop_gradient", "copy", "copy_p", "optimization_barrier")


@dataclasses.dataclass(frozen=True)
class Known:
    """An array that does not depend on the images: a constant that broadcasts to ``shape``."""

    constant: Constant
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Value:
    """An array that does: a value of the graph.

    Attributes:
      number: of the value, which has the batch's axis first.
      shape: of the array in the program.
      batch: the batch's axis there.
    """

    number: int
    shape: tuple[int, ...]
    batch: int = 0

    def axis(self, axis: int) -> int:
        """Where an axis of the program's array lies in the value."""
        return 0 if axis == self.batch else axis + (axis < self.batch)

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of the value."""
        return (self.shape[self.batch], *self.shape[: self.batch], *self.shape[self.batch + 1 :])


Traced = Known | Value


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
    images = jax.ShapeDtypeStruct((_BATCH, *image_shape), jnp.float32)
    closed, returned = jax.make_jaxpr(call, return_shape=True)(shapes, images)
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    given: list[Traced] = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        given.append(Known(Constant.variable(name, leaf.shape, leaf.dtype), leaf.shape))
    reader = _Reader()
    outputs = reader.read(closed.jaxpr, closed.consts, [*given, Value(0, images.shape)])
    numbers = [reader.value_of(one).number for one in outputs]
    return reader.nodes, jax.tree.unflatten(jax.tree.structure(returned), numbers)


class _Reader:
    """Follows a jaxpr, and notes the operations on images."""

    def __init__(self):
        self.nodes: list[Node] = []

    def read(self, jaxpr: core.Jaxpr, consts: Sequence[Any], inputs: Sequence[Traced]) -> list[Traced]:
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
        shape = (1, *shape[1:]) if shape[:1] == (_BATCH,) else shape
        small = (1,) * (len(shape) - len(one.constant.shape)) + one.constant.shape
        if shape[:1] != (1,):
            raise UserError("a network that returns, or reads, arrays without examples cannot be deployed")
        constant = one.constant.reshape(small).spread(shape)
        return self.add(ops.Stored(), (), (_BATCH, *shape[1:]), {"value": constant})

    def add(
        self,
        operation: ops.Operation,
        inputs: Sequence[Value],
        shape: tuple[int, ...],
        constants: Mapping[str, Constant] | None = None,
    ) -> Value:
        if shape[:1] != (_BATCH,) or any(size % _BATCH == 0 for size in shape[1:] if size):
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
        if all(isinstance(one, Known) for one in inputs):
            return [_computed(equation, [one for one in inputs if isinstance(one, Known)], shapes)]
        moved = any(isinstance(one, Value) and one.batch for one in inputs)
        if name not in _RULES or (moved and name not in _MOVING):
            raise UserError(f"{name!r} cannot be deployed; allowed: {', '.join(sorted(_RULES))}")
        return [_RULES[name](self, inputs, params, shapes[0])]

    def _call(self, equation: core.JaxprEqn, inputs: list[Traced]) -> list[Traced]:
        params = equation.params
        called = next(params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in params)
        if isinstance(called, core.ClosedJaxpr):
            return self.read(called.jaxpr, called.consts, inputs)
        return self.read(called, (), inputs)

    def _branch(self, branches: Sequence[core.ClosedJaxpr], inputs: list[Traced]) -> list[Traced]:
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


# What each primitive becomes. A rule takes the reader, the inputs, the primitive's parameters and the result's shape.

Rule = Callable[[_Reader, list[Traced], Mapping[str, Any], tuple[int, ...]], Traced]


def _conv(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Value:
    x, kernel = inputs
    numbers = params["dimension_numbers"]
    layout = (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec)
    plain = layout == ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)) and params["batch_group_count"] == 1
    if not plain or set(params["lhs_dilation"]) != {1} or isinstance(x, Known) or isinstance(kernel, Value):
        raise UserError("a convolution is deployed of images [B, H, W, C] with a kernel [h, w, I, O], not transposed")
    operation = ops.Conv(
        tuple(params["window_strides"]),
        _pair(params["padding"]),
        params["feature_group_count"],
        tuple(params["rhs_dilation"]),
    )
    return reader.add(operation, (x,), shape, {"kernel": kernel.constant, "bias": _zeros(shape[-1])})


def _dot(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Value:
    x, other = inputs
    contracted, batched = params["dimension_numbers"]
    pairs = _pair(contracted), _pair(batched)
    plain = ((len(x.shape) - 1,), (0,)), ((), ())
    if isinstance(x, Value) and isinstance(other, Known) and pairs == plain and len(other.shape) == 2:
        kernel = other.constant.spread(other.shape)
        return reader.add(ops.Dense(), (x,), shape, {"kernel": kernel, "bias": _zeros(shape[-1])})
    left, right = reader.value_of(x), reader.value_of(other)
    operation = ops.MatMul(*pairs)
    return reader.add(operation, (left, right), shape)


def _pair(pairs: Any) -> tuple[Any, Any]:
    first, second = pairs
    return tuple(first), tuple(second)


def _zeros(size: int) -> Constant:
    return Constant.given(np.zeros(size, np.float32))


def _affine(name: str) -> Rule:
    """Sums and products with a constant; those of two values stay what they are."""

    def rule(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        known = [one for one in inputs if isinstance(one, Known)]
        if not known or (name == "div" and known[0] is inputs[0]):
            return _elementwise(name)(reader, inputs, params, shape)
        constant, x = _without_batch(known[0].constant, shape), next(one for one in inputs if isinstance(one, Value))
        one, zero = Constant.given(np.float32(1)), Constant.given(np.float32(0))
        scale, offset = {
            "add": (one, constant),
            "sub": (-one, constant) if known[0] is inputs[0] else (one, -constant),
            "mul": (constant, zero),
            "div": (Constant.computed(lambda array: 1 / array, constant), zero),
        }[name]
        return reader.add(ops.Affine(), (x,), shape, {"scale": scale, "offset": offset})

    return rule


def _without_batch(constant: Constant, shape: tuple[int, ...]) -> Constant:
    """Of the rank of an example, or a scalar; a channel's where it varies along the last axis alone."""
    small = (1,) * (len(shape) - len(constant.shape)) + constant.shape
    if small[0] != 1:
        raise UserError("a constant that differs between the examples of a batch cannot be deployed")
    kept = next((axis for axis in range(1, len(small)) if small[axis] != 1), len(small))
    return constant.reshape(small[kept:])


def _bound(name: str) -> Rule:
    def rule(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        known = [one for one in inputs if isinstance(one, Known)]
        array = known[0].constant.array if known else None
        if array is None or array.size == 0 or np.any(array != array.reshape(-1)[0]):
            return _elementwise(name)(reader, inputs, params, shape)
        number = float(array.reshape(-1)[0])
        x = next(one for one in inputs if isinstance(one, Value))
        return reader.add(ops.Clip(low=number) if name == "max" else ops.Clip(high=number), (x,), shape)

    return rule


def _clamp(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    low, x, high = inputs
    return _bound("min")(reader, [_bound("max")(reader, [x, low], params, shape), high], params, shape)


def _elementwise(name: str) -> Rule:
    def rule(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        return reader.add(ops.Elementwise(name), [reader.value_of(one, len(shape)) for one in inputs], shape)

    return rule


def _power(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    return reader.add(ops.Power(params.get("y", 2)), [reader.value_of(inputs[0])], shape)


def _reduce(kind: str) -> Rule:
    def rule(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        return reader.add(ops.Reduce(kind, tuple(params["axes"])), [reader.value_of(inputs[0])], shape)

    return rule


def _pool(kind: str) -> Rule:
    def rule(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        window, strides, padding = (tuple(params[key]) for key in ("window_dimensions", "window_strides", "padding"))
        outer = (window[0], window[-1], strides[0], strides[-1], *padding[0], *padding[-1])
        dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
        if len(window) != 4 or outer != (1, 1, 1, 1, 0, 0, 0, 0) or dilated:
            raise UserError("pooling is deployed over the height and the width of [B, H, W, C]")
        x, pads = reader.value_of(inputs[0]), _pair(padding[1:3])
        return reader.add(ops.Pool(kind, window[1:3], strides[1:3], pads), (x,), shape)

    return rule


def _pad(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x, number = inputs
    if not isinstance(number, Known) or number.constant.array is None or any(w for *_, w in params["padding_config"]):
        raise UserError("'pad' is deployed with a number, around what is padded and not between")
    before, after = ([width[i] for width in params["padding_config"]] for i in (0, 1))
    return reader.add(ops.Pad(tuple(before), tuple(after), float(number.constant.array)), [reader.value_of(x)], shape)


def _slice(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x = reader.value_of(inputs[0])
    steps = params["strides"] or (1,) * len(shape)
    cuts = list(zip(params["start_indices"], params["limit_indices"], steps, strict=True))
    if cuts.pop(x.batch) != (0, _BATCH, 1):
        raise UserError("'slice' leaves out examples of a batch: such a network cannot be deployed")
    found = Value(0, shape, x.batch)
    value = reader.add(ops.Slice(*map(tuple, zip(*cuts, strict=True))), [x], found.stored)
    return dataclasses.replace(found, number=value.number)


def _concatenate(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    return reader.add(ops.Concat(params["dimension"]), [reader.value_of(one) for one in inputs], shape)


def _reshape(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    return reader.add(ops.Reshape(shape[1:]), [reader.value_of(inputs[0])], shape)


def _transpose(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x, order = reader.value_of(inputs[0]), tuple(params["permutation"])
    found = Value(0, shape, order.index(x.batch))
    stored = (0, *(x.axis(axis) for axis in order if axis != x.batch))
    if stored == tuple(range(len(order))):
        return dataclasses.replace(found, number=x.number)
    value = reader.add(ops.Transpose(stored), [x], found.stored)
    return dataclasses.replace(found, number=value.number)


def _squeeze(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x = reader.value_of(inputs[0])
    found = Value(0, shape, x.batch - sum(axis < x.batch for axis in params["dimensions"]))
    value = reader.add(ops.Reshape(found.stored[1:]), [x], found.stored)
    return dataclasses.replace(found, number=value.number)


def _broadcast(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x, dims = reader.value_of(inputs[0]), params["broadcast_dimensions"]
    if dims[:1] != (0,):
        raise UserError("'broadcast_in_dim' puts an axis before the batch's: such a network cannot be deployed")
    spread = [1] * len(shape)
    for axis, size in zip(dims, x.shape, strict=True):
        spread[axis] = size
    value = reader.add(ops.Reshape(tuple(spread[1:])), (x,), tuple(spread))
    return value if tuple(spread) == shape else reader.add(ops.Broadcast(shape[1:]), (value,), shape)


def _convert(reader: _Reader, inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    if params["new_dtype"] != np.float32:
        raise UserError(f"a network that computes in {params['new_dtype']} cannot be deployed; allowed: float32")
    return inputs[0]


#: Of arrays whose first axis is not the batch's, these alone are followed.
_MOVING = ("slice", "squeeze", "transpose")

_RULES: dict[str, Rule] = {
    **{name: _elementwise(name) for name in ops.ELEMENTWISE if name not in ("gelu",)},
    **{name: _affine(name) for name in ("add", "sub", "mul", "div")},
    **{name: _bound(name) for name in ("max", "min")},
    "broadcast_in_dim": _broadcast,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "conv_general_dilated": _conv,
    "convert_element_type": _convert,
    "dot_general": _dot,
    "integer_pow": _power,
    "pad": _pad,
    "reduce_max": _reduce("max"),
    "reduce_sum": _reduce("sum"),
    "reduce_window_max": _pool("max"),
    "reduce_window_sum": _pool("sum"),
    "reshape": _reshape,
    "slice": _slice,
    "square": _power,
    "squeeze": _squeeze,
    "transpose": _transpose,
}
