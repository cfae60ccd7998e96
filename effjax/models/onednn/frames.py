"""What XLA hands to a function that it calls: structures of its C interface, as far as they are read here.

Source: xla/ffi/api/c_api.h, which jaxlib ships under ``include/``; versions 0.1 to 0.3 agree in these.
"""

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from typing import Any

_METADATA, _EXECUTE, _INTERNAL = 1, 3, 13  # an extension's kind, a stage of a call, an error's code


class _Extension(ctypes.Structure):
    pass


_Extension._fields_ = (("struct_size", c_size_t), ("kind", c_int), ("next", POINTER(_Extension)))


class _Version(ctypes.Structure):
    _fields_ = (("struct_size", c_size_t), ("extension", c_void_p), ("major", c_int), ("minor", c_int))


class _Metadata(ctypes.Structure):
    _fields_ = (("struct_size", c_size_t), ("version", _Version), ("traits", c_uint32))


class _MetadataExtension(ctypes.Structure):
    _fields_ = (("base", _Extension), ("metadata", POINTER(_Metadata)))


class _Buffer(ctypes.Structure):
    _fields_ = (
        *(("struct_size", c_size_t), ("extension", c_void_p), ("kind", c_int)),
        *(("address", c_void_p), ("rank", c_int64), ("sizes", POINTER(c_int64))),
    )


class _Buffers(ctypes.Structure):
    _fields_ = (
        *(("struct_size", c_size_t), ("extension", c_void_p), ("count", c_int64)),
        *(("kinds", c_void_p), ("items", POINTER(POINTER(_Buffer)))),
    )


class _Text(ctypes.Structure):
    _fields_ = (("address", c_void_p), ("length", c_size_t))


class _Attributes(ctypes.Structure):
    _fields_ = (
        *(("struct_size", c_size_t), ("extension", c_void_p), ("count", c_int64)),
        *(("kinds", c_void_p), ("names", c_void_p), ("items", POINTER(POINTER(_Text)))),
    )


class _Error(ctypes.Structure):
    _fields_ = (("struct_size", c_size_t), ("extension", c_void_p), ("message", c_char_p), ("code", c_int))


class _Interface(ctypes.Structure):
    _fields_ = (
        *(("struct_size", c_size_t), ("extension", c_void_p), ("version", _Version), ("internal", c_void_p)),
        ("create_error", ctypes.CFUNCTYPE(c_void_p, POINTER(_Error))),
    )


class Frame(ctypes.Structure):
    """One call: arrays that are read, arrays that are written, and a text."""

    _fields_ = (
        *(("struct_size", c_size_t), ("extension", POINTER(_Extension)), ("interface", POINTER(_Interface))),
        *(("context", c_void_p), ("stage", c_int)),
        *(("read", _Buffers), ("written", _Buffers), ("attributes", _Attributes)),
    )

    @property
    def is_execution(self) -> bool:
        """Whether something is to be computed. A call may also ask which version of the interface is spoken."""
        extension: Any = self.extension
        while extension:
            if extension.contents.kind == _METADATA:
                metadata = ctypes.cast(extension, POINTER(_MetadataExtension)).contents.metadata.contents
                spoken = self.interface.contents.version
                metadata.version.major, metadata.version.minor, metadata.traits = spoken.major, spoken.minor, 0
                return False
            extension = extension.contents.next
        return self.stage == _EXECUTE

    @property
    def text(self) -> bytes:
        """The only attribute."""
        text = self.attributes.items[0].contents
        return ctypes.string_at(text.address, text.length)

    @property
    def addresses(self) -> list[int]:
        """Where the arrays lie."""
        return [buffer.address for buffer in self._buffers()]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The arrays' shapes."""
        return tuple(tuple(buffer.sizes[: buffer.rank]) for buffer in self._buffers())

    def error(self, message: str) -> int:
        """What is returned for a call that failed: XLA's own object."""
        error = _Error(ctypes.sizeof(_Error), None, message.encode(), _INTERNAL)
        return self.interface.contents.create_error(ctypes.byref(error))

    def _buffers(self) -> Iterator[_Buffer]:
        for buffers in (self.read, self.written):
            for number in range(buffers.count):
                yield buffers.items[number].contents


#: The type of such a function: it returns 0, or an error.
Function = ctypes.CFUNCTYPE(c_void_p, POINTER(Frame))
