"""One convolution, or one of its gradients, for arrays of one shape: planned once, computed many times."""

import ctypes
import dataclasses
import json
import math
from collections.abc import Sequence
from ctypes import c_void_p
from typing import Any, Literal

from effjax.models.onednn import library as names
from effjax.models.onednn.library import Argument, Library

Pairs = tuple[tuple[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class After:
    """What follows a convolution in the same pass, besides a bias.

    Attributes:
      adds: whether an array of the result's shape is added.
      low: the least that is written.
      high: the largest that is.
    """

    adds: bool = False
    low: float = -math.inf
    high: float = math.inf


@dataclasses.dataclass(frozen=True)
class Spec:
    """What is computed.

    Attributes:
      of: ``result``, from images and kernel; ``images``, their gradient, from the result's and the kernel; ``kernel``,
        its gradient, from the images and the result's; or ``layout``, the kernel as oneDNN computes with it.
      images: their shape, ``[B, H, W, I]``.
      kernel: its shape, ``[h, w, I / groups, O]``.
      strides: down and to the right.
      pads: zeros before and after the rows, and the columns.
      groups: of channels, each with its own share of the kernel.
      after: None, or what is done to a result before it is written.
      laid: None, or of how many numbers a ``layout`` is, and for how many images it was made: such a kernel is read.
    """

    of: Literal["result", "images", "kernel", "layout"]
    images: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, int]
    pads: Pairs
    groups: int = 1
    after: After | None = None
    laid: tuple[int, int] | None = None

    @property
    def adds(self) -> bool:
        """Whether an array is added in place: it lies where the result will."""
        return self.of == "result" and self.after is not None and self.after.adds

    @property
    def result(self) -> tuple[int, ...]:
        """The result's shape, ``[B, H', W', O]``."""
        rows, columns = (
            (side + sum(pad) - taps) // stride + 1
            for side, pad, taps, stride in zip(self.images[1:3], self.pads, self.kernel, self.strides, strict=False)
        )
        return self.images[0], rows, columns, self.kernel[-1]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the arrays that it reads, and of the one that it writes."""
        laid = (self.laid or (0,))[:1]
        if self.of == "layout":
            return self.kernel, laid
        found = {"result": self.result, "images": self.images, "kernel": laid if self.laid else self.kernel}
        more = () if self.after is None else (self.kernel[-1:], *([self.result] if self.after.adds else []))
        return (*(shape for name, shape in sorted(found.items()) if name != self.of), *more, found[self.of])

    def __str__(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """The inverse of ``str``."""
        found = json.loads(text)
        after = After(**given) if (given := found.pop("after")) else None
        return cls(**{name: _tuples(value) for name, value in found.items()}, after=after)


class _Described:
    """The arrays of a convolution as XLA has them, and the plan of its result."""

    def __init__(self, library: Library, spec: Spec):
        self._library = library
        (height, width, inputs, outputs), ((top, bottom), (left, right)) = spec.kernel, spec.pads
        sizes = (outputs, inputs, height, width)
        lies = (1, outputs, width * inputs * outputs, inputs * outputs)
        if spec.groups > 1:  # an axis of their own
            each = outputs // spec.groups
            sizes, lies = (spec.groups, each, *sizes[1:]), (each, *lies)
        self.images, self.result = (self._by_channels(shape) for shape in (spec.images, spec.result))
        self.kernel = library.described(sizes, lies)
        self.window = (spec.strides, (0, 0), (top, left), (bottom, right))
        self.arrays = (self.images, library.described(sizes), self.result)
        self.bias = self._after = None
        if spec.after is not None:
            self.bias = library.described((outputs,), (1,))
            self._after = library.followed_by(spec.after.adds, spec.after.low, spec.after.high)
        self.forward = library.forward(*self.arrays, self.window, self.bias, self._after)

    def _by_channels(self, shape: Sequence[int]) -> c_void_p:
        """``[B, H, W, C]``, whose axes oneDNN names in the order B, C, H, W."""
        batch, height, width, channels = shape
        return self._library.described(
            (batch, channels, height, width), (height * width * channels, 1, width * channels, channels)
        )


def layout(library: Library, spec: Spec) -> c_void_p:
    """How oneDNN wants the kernel of a convolution to lie, for as many images as it is made for."""
    batch = spec.images[0] if spec.laid is None else spec.laid[1]
    described = _Described(library, dataclasses.replace(spec, images=(batch, *spec.images[1:]), laid=None))
    return library.wanted(described.forward, names.WEIGHTS)


class PlannedConvolution:
    """Primitives of oneDNN and the arrays between them; not to be used by two threads at once.

    Images lie as XLA has them. The kernel is copied into the layout that oneDNN computes with, and its gradient from
    there.

    Args:
      library: oneDNN.
      spec: what is computed.
    """

    def __init__(self, library: Library, spec: Spec):
        self._library, self._steps, self._outer = library, [], []
        self._adds = spec.adds
        self._bytes = 4 * math.prod(spec.shapes[-1])
        described = _Described(library, spec)
        images, kernel, result, plan = described.images, described.kernel, described.result, described.forward
        if spec.of == "layout":
            wanted = layout(library, spec)
            self._outer += [library.memory(kernel), library.memory(wanted)]
            self._add(library.reorder(kernel, wanted), [(names.SOURCE, self._outer[0]), (names.RESULT, self._outer[1])])
            return
        if spec.laid is not None:
            kernel = layout(library, spec)
            if library.size(kernel) > 4 * spec.laid[0]:
                raise RuntimeError(f"a kernel laid out as {spec.laid[0]} numbers is not of this machine: {spec}")
        if spec.of != "result":
            plan = library.backward(spec.of, plan, described.arrays, described.window)
        reads, writes = {
            "result": (((names.SOURCE, images), (names.WEIGHTS, kernel)), (names.RESULT, result)),
            "images": (((names.WEIGHTS, kernel), (names.RESULT_GRADIENT, result)), (names.SOURCE_GRADIENT, images)),
            "kernel": (((names.SOURCE, images), (names.RESULT_GRADIENT, result)), (names.WEIGHTS_GRADIENT, kernel)),
        }[spec.of]
        given = [(name, self._read(name, lies, plan)) for name, lies in reads]
        if described.bias is not None:
            self._outer.append(library.memory(described.bias))
            given.append((names.BIAS, self._outer[-1]))
        name, lies = writes
        outer, wanted = library.memory(lies), library.wanted(plan, name)
        self._outer.append(outer)
        inner = outer if library.equal(lies, wanted) else library.memory(wanted, own=True)
        self._add(library.primitive(plan), [*given, (name, inner)])
        if inner is not outer:
            self._add(library.reorder(wanted, lies), [(names.SOURCE, inner), (names.RESULT, outer)])

    def __call__(self, addresses: Sequence[int]) -> None:
        """Computes.

        Args:
          addresses: where the arrays lie, float32 and dense, in the order of :attr:`Spec.shapes`.
        """
        if self._adds:  # to what lies where the result will
            *addresses, added, result = addresses
            addresses.append(result)
            if added != result:
                ctypes.memmove(result, added, self._bytes)
        for memory, address in zip(self._outer, addresses, strict=True):
            self._library.put(memory, address)
        for primitive, arguments in self._steps:
            self._library.execute(primitive, arguments)
        self._library.wait()

    def _read(self, name: int, layout: c_void_p, plan: c_void_p) -> c_void_p:
        """An array that is read, as the primitive wants it to lie."""
        outer, wanted = self._library.memory(layout), self._library.wanted(plan, name)
        self._outer.append(outer)
        if self._library.equal(layout, wanted):
            return outer
        inner = self._library.memory(wanted, own=True)
        self._add(self._library.reorder(layout, wanted), [(names.SOURCE, outer), (names.RESULT, inner)])
        return inner

    def _add(self, primitive: c_void_p, arguments: Sequence[tuple[int, c_void_p]]) -> None:
        given: Any = (Argument * len(arguments))(*(Argument(name, memory) for name, memory in arguments))
        self._steps.append((primitive, given))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
