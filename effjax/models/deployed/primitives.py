"""What each primitive of JAX becomes in a graph."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from effjax.errors import UserError
from effjax.models.deployed import operations as ops
from effjax.models.deployed.constants import Constant
from effjax.models.deployed.traced import BATCH, Known, Traced, Value

if TYPE_CHECKING:
    from effjax.models.deployed.trace import Reader

#: A rule takes the reader, the inputs, the primitive's parameters and the result's shape.
Rule = Callable[["Reader", list[Traced], Mapping[str, Any], tuple[int, ...]], Traced]


def _conv(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Value:
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
    return reader.add(
        operation, (x,), shape, {"kernel": kernel.constant.spread(kernel.shape), "bias": _zeros(shape[-1])}
    )


def _dot(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Value:
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

    def rule(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        known = [one for one in inputs if isinstance(one, Known)]
        if not known or (name == "div" and known[0] is inputs[0]):
            return _elementwise(name)(reader, inputs, params, shape)
        constant, x = _without_batch(known[0].constant, shape), next(one for one in inputs if isinstance(one, Value))
        scale, offset = Constant.given(np.float32(1)), Constant.given(np.float32(0))
        match name:
            case "add":
                offset = constant
            case "sub" if known[0] is inputs[0]:
                scale, offset = -scale, constant
            case "sub":
                offset = -constant
            case "mul":
                scale = constant
            case "div":
                scale = Constant.computed(lambda array: 1 / array, constant)
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
    def rule(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        known = [one for one in inputs if isinstance(one, Known)]
        array = known[0].constant.array if known else None
        if array is None or array.size == 0 or np.any(array != array.reshape(-1)[0]):
            return _elementwise(name)(reader, inputs, params, shape)
        number = float(array.reshape(-1)[0])
        x = next(one for one in inputs if isinstance(one, Value))
        return reader.add(ops.Clip(low=number) if name == "max" else ops.Clip(high=number), (x,), shape)

    return rule


def _clamp(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    low, x, high = inputs
    return _bound("min")(reader, [_bound("max")(reader, [x, low], params, shape), high], params, shape)


def _elementwise(name: str) -> Rule:
    def rule(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        return reader.add(ops.Elementwise(name), [reader.value_of(one, len(shape)) for one in inputs], shape)

    return rule


def _power(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    return reader.add(ops.Power(params.get("y", 2)), [reader.value_of(inputs[0])], shape)


def _reduce(kind: str) -> Rule:
    def rule(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        return reader.add(ops.Reduce(kind, tuple(params["axes"])), [reader.value_of(inputs[0])], shape)

    return rule


def _pool(kind: str) -> Rule:
    def rule(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
        window, strides, padding = (tuple(params[key]) for key in ("window_dimensions", "window_strides", "padding"))
        outer = (window[0], window[-1], strides[0], strides[-1], *padding[0], *padding[-1])
        dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
        if len(window) != 4 or outer != (1, 1, 1, 1, 0, 0, 0, 0) or dilated:
            raise UserError("pooling is deployed over the height and the width of [B, H, W, C]")
        x, pads = reader.value_of(inputs[0]), _pair(padding[1:3])
        return reader.add(ops.Pool(kind, window[1:3], strides[1:3], pads), (x,), shape)

    return rule


def _pad(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x, number = inputs
    if not isinstance(number, Known) or number.constant.array is None or any(w for *_, w in params["padding_config"]):
        raise UserError("'pad' is deployed with a number, around what is padded and not between")
    before, after = ([width[i] for width in params["padding_config"]] for i in (0, 1))
    return reader.add(ops.Pad(tuple(before), tuple(after), float(number.constant.array)), [reader.value_of(x)], shape)


def _slice(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x = reader.value_of(inputs[0])
    steps = params["strides"] or (1,) * len(shape)
    cuts = list(zip(params["start_indices"], params["limit_indices"], steps, strict=True))
    if cuts.pop(x.batch) != (0, BATCH, 1):
        raise UserError("'slice' leaves out examples of a batch: such a network cannot be deployed")
    found = Value(0, shape, x.batch)
    value = reader.add(ops.Slice(*map(tuple, zip(*cuts, strict=True))), [x], found.stored)
    return dataclasses.replace(found, number=value.number)


def _concatenate(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    return reader.add(ops.Concat(params["dimension"]), [reader.value_of(one) for one in inputs], shape)


def _reshape(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    return reader.add(ops.Reshape(shape[1:]), [reader.value_of(inputs[0])], shape)


def _transpose(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x, order = reader.value_of(inputs[0]), tuple(params["permutation"])
    found = Value(0, shape, order.index(x.batch))
    stored = (0, *(x.axis(axis) for axis in order if axis != x.batch))
    if stored == tuple(range(len(order))):
        return dataclasses.replace(found, number=x.number)
    value = reader.add(ops.Transpose(stored), [x], found.stored)
    return dataclasses.replace(found, number=value.number)


def _squeeze(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x = reader.value_of(inputs[0])
    found = Value(0, shape, x.batch - sum(axis < x.batch for axis in params["dimensions"]))
    value = reader.add(ops.Reshape(found.stored[1:]), [x], found.stored)
    return dataclasses.replace(found, number=value.number)


def _broadcast(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    x, dims = reader.value_of(inputs[0]), params["broadcast_dimensions"]
    if dims[:1] != (0,):
        raise UserError("'broadcast_in_dim' puts an axis before the batch's: such a network cannot be deployed")
    spread = [1] * len(shape)
    for axis, size in zip(dims, x.shape, strict=True):
        spread[axis] = size
    value = reader.add(ops.Reshape(tuple(spread[1:])), (x,), tuple(spread))
    return value if tuple(spread) == shape else reader.add(ops.Broadcast(shape[1:]), (value,), shape)


def _convert(reader: "Reader", inputs: list[Traced], params: Mapping[str, Any], shape: tuple[int, ...]) -> Traced:
    if params["new_dtype"] != np.float32:
        raise UserError(f"a network that computes in {params['new_dtype']} cannot be deployed; allowed: float32")
    return inputs[0]


def _split(reader: "Reader", whole: Traced, params: Mapping[str, Any]) -> list[Traced]:
    ends = np.cumsum(params["sizes"]).tolist()
    return [
        _part(reader, whole, params["axis"], end - size, end) for size, end in zip(params["sizes"], ends, strict=True)
    ]


def _unstack(reader: "Reader", whole: Traced, params: Mapping[str, Any]) -> list[Traced]:
    """The arrays that an array is made of along an axis: what newer versions of JAX call unstacking."""
    axis, found = params["axis"], []
    shape = (*whole.shape[:axis], *whole.shape[axis + 1 :])
    for place in range(whole.shape[axis]):
        one = _part(reader, whole, axis, place, place + 1)
        if isinstance(one, Known):
            found.append(Known(one.constant.reshape(shape), shape))
        else:
            found.append(_squeeze(reader, [one], {"dimensions": (axis,)}, shape))
    return found


def _part(reader: "Reader", whole: Traced, axis: int, start: int, stop: int) -> Traced:
    """What lies along an axis from one place to another."""
    shape = (*whole.shape[:axis], stop - start, *whole.shape[axis + 1 :])
    if isinstance(whole, Known):
        take = functools.partial(jax.lax.slice_in_dim, start_index=start, limit_index=stop, axis=axis)
        return Known(Constant.computed(take, whole.constant.spread(whole.shape)), shape)
    starts, ends = [0] * len(whole.shape), list(whole.shape)
    starts[axis], ends[axis] = start, stop
    return _slice(reader, [whole], {"start_indices": starts, "limit_indices": ends, "strides": None}, shape)


#: Of arrays whose first axis is not the batch's, these alone are followed.
MOVING = ("slice", "squeeze", "transpose")

RULES: dict[str, Rule] = {
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

#: Those with several results, of one array.
DIVIDING = {"split": _split, "unstack": _unstack}
