"""What deployed networks consist of: a few operations, all on ``[B, ...]``, with the channels last."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from effjax.models import onednn
from effjax.models.convolutions import is_by_onednn
from effjax.models.depthwise import depthwise_conv
from effjax.models.grouped import grouped_conv

Weights = Mapping[str, Array]
Pair = tuple[int, int]

_PRECISION = jax.lax.Precision.HIGHEST


@dataclasses.dataclass(frozen=True)
class Operation:
    """What a node computes of its inputs, ``[B, ...]`` each, and of its weights.

    A shape or an axis of an operation is one with the batch; the batch itself is never written down.
    """

    #: Names of what it needs besides its inputs.
    weights: ClassVar[tuple[str, ...]] = ()

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Conv(Operation):
    """A convolution and its bias; with as many groups as channels, a depthwise one.

    ``[B, H, W, I]`` by a ``kernel [h, w, I / groups, O]`` and a ``bias [O]`` becomes ``[B, H', W', O]``.
    """

    strides: Pair
    padding: tuple[Pair, Pair]
    groups: int = 1
    dilation: Pair = (1, 1)
    weights: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return self.product(inputs[0], weights["kernel"]) + weights["bias"]

    def product(self, x: Array, kernel: Array) -> Array:
        """The convolution without its bias."""
        if is_by_onednn(x, kernel, self.dilation):
            return onednn.convolution(x, kernel, self.strides, self.padding, self.groups, _PRECISION)
        if self._is_plainly_depthwise(kernel):
            down, right = self.padding
            return depthwise_conv(x, kernel, self.strides[0], (down, right), _PRECISION)
        if self.groups > 1 and {*self.dilation} == {1}:
            groups = {"feature_group_count": self.groups, "precision": _PRECISION}
            return grouped_conv(x, kernel, self.strides, self.padding, **groups)
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            self.strides,
            self.padding,
            rhs_dilation=self.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
            precision=_PRECISION,
        )

    def _is_plainly_depthwise(self, kernel: Array) -> bool:
        """Whether each channel has one square filter: then there is a faster way on CPU."""
        height, width, per_group, channels = kernel.shape
        square = height == width and len({*self.strides}) == 1 and {*self.dilation} == {1}
        return square and per_group == 1 and 1 < self.groups == channels


@dataclasses.dataclass(frozen=True)
class Dense(Operation):
    """A product with a ``kernel [I, O]`` over the last axis, and a ``bias [O]``."""

    weights: ClassVar[tuple[str, ...]] = ("kernel", "bias")

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return jnp.matmul(inputs[0], weights["kernel"], precision=_PRECISION) + weights["bias"]


@dataclasses.dataclass(frozen=True)
class Affine(Operation):
    """``x · scale + offset``, arrays that broadcast against an example."""

    weights: ClassVar[tuple[str, ...]] = ("scale", "offset")

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return inputs[0] * weights["scale"] + weights["offset"]


@dataclasses.dataclass(frozen=True)
class Stored(Operation):
    """An array of the network, ``[1, ...]``, that is the same for every example; it has no inputs."""

    weights: ClassVar[tuple[str, ...]] = ("value",)

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Returns the array."""
        return weights["value"]


@dataclasses.dataclass(frozen=True)
class Clip(Operation):
    """``min(max(x, low), high)``; infinite bounds are none. ReLU is ``Clip(0)``, ReLU6 is ``Clip(0, 6)``."""

    low: float = -math.inf
    high: float = math.inf

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        (x,) = inputs
        x = x if self.low == -math.inf else jnp.maximum(x, self.low)
        return x if self.high == math.inf else jnp.minimum(x, self.high)


@dataclasses.dataclass(frozen=True)
class Elementwise(Operation):
    """A function of one, two or three arrays of one shape, element by element: a key of ``ELEMENTWISE``."""

    name: str

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return ELEMENTWISE[self.name](*inputs)


@dataclasses.dataclass(frozen=True)
class Power(Operation):
    """``x`` to a whole power."""

    exponent: int

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return jax.lax.integer_pow(inputs[0], self.exponent)


@dataclasses.dataclass(frozen=True)
class Pool(Operation):
    """The ``max``, ``mean`` or ``sum`` of windows of ``[B, H, W, C]``; what lies outside counts as zero in a mean."""

    kind: str
    window: Pair
    strides: Pair
    padding: tuple[Pair, Pair]

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        start, combine = (-jnp.inf, jax.lax.max) if self.kind == "max" else (0.0, jax.lax.add)
        padding = ((0, 0), *self.padding, (0, 0))
        window, strides = (1, *self.window, 1), (1, *self.strides, 1)
        found = jax.lax.reduce_window(inputs[0], start, combine, window, strides, padding)
        return found / math.prod(self.window) if self.kind == "mean" else found


@dataclasses.dataclass(frozen=True)
class Reduce(Operation):
    """The ``mean``, ``sum`` or ``max`` over axes, which go."""

    kind: str
    axes: tuple[int, ...]

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return {"mean": jnp.mean, "sum": jnp.sum, "max": jnp.max}[self.kind](inputs[0], axis=self.axes)


@dataclasses.dataclass(frozen=True)
class MatMul(Operation):
    """A product of two arrays, as ``jax.lax.dot_general`` has it."""

    contracted: tuple[tuple[int, ...], tuple[int, ...]]
    batched: tuple[tuple[int, ...], tuple[int, ...]]

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        left, right = inputs
        return jax.lax.dot_general(left, right, (self.contracted, self.batched), precision=_PRECISION)


@dataclasses.dataclass(frozen=True)
class Softmax(Operation):
    """Exponentials over their sum, along an axis."""

    axis: int

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return jax.nn.softmax(inputs[0], axis=self.axis)


@dataclasses.dataclass(frozen=True)
class LayerNorm(Operation):
    """Normalisation over the last axis, then ``· scale + offset``."""

    epsilon: float
    weights: ClassVar[tuple[str, ...]] = ("scale", "offset")

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        (x,) = inputs
        centred = x - jnp.mean(x, -1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), -1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + self.epsilon) * weights["scale"] + weights["offset"]


@dataclasses.dataclass(frozen=True)
class Pad(Operation):
    """Puts ``before`` and ``after`` as many of a number on each axis."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    number: float = 0.0

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        (x,) = inputs
        widths = [(low, high, 0) for low, high in zip(self.before, self.after, strict=True)]
        return jax.lax.pad(x, jnp.asarray(self.number, x.dtype), widths)


@dataclasses.dataclass(frozen=True)
class Slice(Operation):
    """Every ``step``-th from ``start`` to before ``stop``, on each axis after the batch's."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    step: tuple[int, ...]

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return inputs[0][(slice(None), *map(slice, self.start, self.stop, self.step))]


@dataclasses.dataclass(frozen=True)
class Concat(Operation):
    """Several arrays one after the other along an axis."""

    axis: int

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        size = max(x.shape[0] for x in inputs)
        return jnp.concatenate([jnp.broadcast_to(x, (size, *x.shape[1:])) for x in inputs], self.axis)


@dataclasses.dataclass(frozen=True)
class Reshape(Operation):
    """The elements of an example in another shape, which is said without the batch."""

    shape: tuple[int, ...]

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return inputs[0].reshape(inputs[0].shape[0], *self.shape)


@dataclasses.dataclass(frozen=True)
class Transpose(Operation):
    """The axes in another order; the batch's stays first."""

    order: tuple[int, ...]

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return jnp.transpose(inputs[0], self.order)


@dataclasses.dataclass(frozen=True)
class Broadcast(Operation):
    """An example repeated along its axes of length one."""

    shape: tuple[int, ...]

    def __call__(self, inputs: Sequence[Array], weights: Weights) -> Array:
        """Computes it."""
        return jnp.broadcast_to(inputs[0], (inputs[0].shape[0], *self.shape))


def _select(condition: Array, other: Array, chosen: Array) -> Array:
    return jnp.where(condition, chosen, other)


ELEMENTWISE = {
    "abs": jnp.abs,
    "add": jnp.add,
    "div": jnp.divide,
    "eq": jnp.equal,
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "ge": jnp.greater_equal,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gt": jnp.greater,
    "le": jnp.less_equal,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "logistic": jax.nn.sigmoid,
    "lt": jnp.less,
    "max": jnp.maximum,
    "min": jnp.minimum,
    "mul": jnp.multiply,
    "ne": jnp.not_equal,
    "neg": jnp.negative,
    "rsqrt": jax.lax.rsqrt,
    "select_n": _select,
    "sqrt": jnp.sqrt,
    "sub": jnp.subtract,
    "tanh": jnp.tanh,
}
