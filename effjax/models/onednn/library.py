"""oneDNN's C functions, as far as convolutions need them."""

import ctypes
import functools
import importlib.metadata
import math
import os
from collections.abc import Sequence
from ctypes import c_float, c_int, c_int32, c_int64, c_size_t, c_void_p
from typing import Any

from effjax.errors import UserError

PACKAGE = "onednn-cpu-gomp"

# Of dnnl_types.h: what a primitive's arguments are called, and which of its descriptions is asked for.
SOURCE, RESULT, WEIGHTS, BIAS = 1, 17, 33, 41
SOURCE_GRADIENT, RESULT_GRADIENT, WEIGHTS_GRADIENT = 129, 145, 161
_DESCRIPTION = {
    SOURCE: 129,
    WEIGHTS: 131,
    RESULT: 133,
    SOURCE_GRADIENT: 130,
    WEIGHTS_GRADIENT: 132,
    RESULT_GRADIENT: 134,
}

_CPU, _IN_ORDER, _FLOAT32, _ANY_LAYOUT, _FORWARD, _DIRECT = 1, 1, 3, 1, 64, 1
_RELU, _CLIP = 0x20, 0x2E
_OWN_MEMORY = c_size_t(-1).value

_POINTER = ctypes.POINTER(c_void_p)
_NUMBERS = ctypes.POINTER(c_int64)
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "dnnl_engine_create": (_POINTER, c_int, c_size_t),
    "dnnl_stream_create": (_POINTER, c_void_p, c_int),
    "dnnl_memory_desc_create_with_strides": (_POINTER, c_int, _NUMBERS, c_int, _NUMBERS),
    "dnnl_memory_desc_create_with_tag": (_POINTER, c_int, _NUMBERS, c_int, c_int),
    "dnnl_memory_desc_equal": (c_void_p, c_void_p),
    "dnnl_memory_desc_get_size": (c_void_p,),
    "dnnl_memory_create": (_POINTER, c_void_p, c_void_p, c_void_p),
    "dnnl_memory_set_data_handle": (c_void_p, c_void_p),
    "dnnl_primitive_desc_query_md": (c_void_p, c_int, c_int),
    "dnnl_primitive_attr_create": (_POINTER,),
    "dnnl_primitive_attr_set_post_ops": (c_void_p, c_void_p),
    "dnnl_post_ops_create": (_POINTER,),
    "dnnl_post_ops_append_sum": (c_void_p, c_float, c_int32, c_int),
    "dnnl_post_ops_append_eltwise": (c_void_p, c_int, c_float, c_float),
    "dnnl_primitive_create": (_POINTER, c_void_p),
    "dnnl_primitive_execute": (c_void_p, c_void_p, c_int, c_void_p),
    "dnnl_stream_wait": (c_void_p,),
    "dnnl_reorder_primitive_desc_create": (_POINTER, *[c_void_p] * 5),
    "dnnl_convolution_forward_primitive_desc_create": (
        *(_POINTER, c_void_p, c_int, c_int),
        *([c_void_p] * 4 + [_NUMBERS] * 4 + [c_void_p]),
    ),
    "dnnl_convolution_backward_data_primitive_desc_create": (
        *(_POINTER, c_void_p, c_int),
        *([c_void_p] * 3 + [_NUMBERS] * 4 + [c_void_p] * 2),
    ),
    "dnnl_convolution_backward_weights_primitive_desc_create": (
        *(_POINTER, c_void_p, c_int),
        *([c_void_p] * 4 + [_NUMBERS] * 4 + [c_void_p] * 2),
    ),
}


class Argument(ctypes.Structure):
    """One of a primitive's arrays: what it is called, and where it lies."""

    _fields_ = (("name", c_int), ("memory", c_void_p))


class Library:
    """oneDNN on the CPU: descriptions of arrays, primitives that compute, memory for both.

    All handles live as long as the process.

    Args:
      path: of the shared library.
    """

    def __init__(self, path: str):
        # Threads that wait in a loop would take the cores from XLA's own. OpenMP reads this as it is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        self._c = ctypes.CDLL(path)
        for name, kinds in _SIGNATURES.items():
            function = getattr(self._c, name)
            function.argtypes, function.restype = kinds, c_int
        self._c.dnnl_primitive_desc_query_md.restype = c_void_p
        self._c.dnnl_memory_desc_get_size.restype = c_size_t
        self._engine = self._made("dnnl_engine_create", _CPU, 0)
        self._stream = self._made("dnnl_stream_create", self._engine, _IN_ORDER)

    def described(self, sizes: Sequence[int], strides: Sequence[int] | None = None) -> c_void_p:
        """A float32 array's description.

        Args:
          sizes: in oneDNN's order of the axes.
          strides: between elements, by axis; None lets a primitive choose how it lies.
        """
        axes, first = len(sizes), _numbers(sizes)
        if strides is None:
            return self._made("dnnl_memory_desc_create_with_tag", axes, first, _FLOAT32, _ANY_LAYOUT)
        return self._made("dnnl_memory_desc_create_with_strides", axes, first, _FLOAT32, _numbers(strides))

    def forward(
        self,
        images: c_void_p,
        kernel: c_void_p,
        result: c_void_p,
        window: Sequence[Any],
        bias: c_void_p | None = None,
        after: c_void_p | None = None,
    ) -> c_void_p:
        """A convolution's description.

        Args:
          images: their description.
          kernel: its description.
          result: its description.
          window: its strides, holes, zeros before and zeros after.
          bias: its description, if there is one.
          after: what is done to each number before it is written, of :meth:`followed_by`.
        """
        name, sizes = "dnnl_convolution_forward_primitive_desc_create", [_numbers(one) for one in window]
        return self._made(name, self._engine, _FORWARD, _DIRECT, images, kernel, bias, result, *sizes, after)

    def followed_by(self, adds: bool, low: float, high: float) -> c_void_p:
        """What a primitive does to each number before it writes it: adds what is there, and clips."""
        done, given = self._made("dnnl_post_ops_create"), self._made("dnnl_primitive_attr_create")
        if adds:
            _check(self._c.dnnl_post_ops_append_sum(done, 1.0, 0, _FLOAT32), "dnnl_post_ops_append_sum")
        if (low, high) != (-math.inf, math.inf):
            clip = (_RELU, 0.0, 0.0) if (low, high) == (0, math.inf) else (_CLIP, low, high)
            _check(self._c.dnnl_post_ops_append_eltwise(done, *clip), "dnnl_post_ops_append_eltwise")
        _check(self._c.dnnl_primitive_attr_set_post_ops(given, done), "dnnl_primitive_attr_set_post_ops")
        return given

    def backward(self, of: str, forward: c_void_p, arrays: Sequence[c_void_p], window: Sequence[Any]) -> c_void_p:
        """The description of one of its gradients: of its ``images`` or of its ``kernel``."""
        sizes, (images, kernel, result) = [_numbers(one) for one in window], arrays
        if of == "images":
            name, given = "dnnl_convolution_backward_data_primitive_desc_create", (images, kernel, result)
        else:
            name, given = "dnnl_convolution_backward_weights_primitive_desc_create", (images, kernel, None, result)
        return self._made(name, self._engine, _DIRECT, *given, *sizes, forward, None)

    def reorder(self, source: c_void_p, target: c_void_p) -> c_void_p:
        """A primitive that copies an array into another layout."""
        described = self._made("dnnl_reorder_primitive_desc_create", source, self._engine, target, self._engine, None)
        return self.primitive(described)

    def primitive(self, description: c_void_p) -> c_void_p:
        """What computes as described."""
        return self._made("dnnl_primitive_create", description)

    def wanted(self, description: c_void_p, name: int) -> c_void_p:
        """How a primitive wants one of its arrays to lie."""
        return c_void_p(self._c.dnnl_primitive_desc_query_md(description, _DESCRIPTION[name], 0))

    def equal(self, a: c_void_p, b: c_void_p) -> bool:
        """Whether two descriptions are of one layout."""
        return bool(self._c.dnnl_memory_desc_equal(a, b))

    def size(self, description: c_void_p) -> int:
        """Of an array as it is described, in bytes."""
        return self._c.dnnl_memory_desc_get_size(description)

    def memory(self, description: c_void_p, own: bool = False) -> c_void_p:
        """An array: one of its own, or one whose place is told before each use, by :meth:`put`."""
        return self._made("dnnl_memory_create", description, self._engine, _OWN_MEMORY if own else None)

    def put(self, memory: c_void_p, address: int) -> None:
        """Tells an array's place."""
        _check(self._c.dnnl_memory_set_data_handle(memory, address), "dnnl_memory_set_data_handle")

    def execute(self, primitive: c_void_p, arguments: "ctypes.Array[Argument]") -> None:
        """Computes; other Python threads may run meanwhile."""
        given = (primitive, self._stream, len(arguments), ctypes.addressof(arguments))
        _check(self._c.dnnl_primitive_execute(*given), "dnnl_primitive_execute")

    def wait(self) -> None:
        """Returns when all is computed."""
        _check(self._c.dnnl_stream_wait(self._stream), "dnnl_stream_wait")

    def _made(self, name: str, *given: Any) -> c_void_p:
        handle = c_void_p()
        _check(getattr(self._c, name)(ctypes.byref(handle), *given), name)
        return handle


@functools.cache
def library() -> Library:
    """oneDNN, loaded once.

    Raises:
      UserError: if it is not installed or cannot be loaded, saying what to install.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(f"convolutions='onednn': {PACKAGE} is not installed: pip install 'effjax[onednn]'") from None
    found = [file for file in files if file.name == "libdnnl.so.3"]
    try:
        return Library(os.path.realpath(found[0].locate()))
    except IndexError:
        raise UserError(f"convolutions='onednn': {PACKAGE} holds no libdnnl.so.3; it is for Linux on x86") from None
    except OSError as error:
        missing = "; it needs GNU's OpenMP (apt-get install libgomp1)" if "libgomp" in str(error) else ""
        raise UserError(f"convolutions='onednn': {PACKAGE} cannot be loaded: {error}{missing}") from None


def _numbers(values: Sequence[int]) -> Any:
    return (c_int64 * len(values))(*values)


def _check(status: int, name: str) -> None:
    if status:
        raise RuntimeError(f"oneDNN: {name} ended with status {status}")
