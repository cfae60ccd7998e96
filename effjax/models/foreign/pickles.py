"""Reads the pickles inside PyTorch's checkpoints without unpickling: nothing in them is ever called or imported.

``pickle.Unpickler`` looks up and calls what a file names, and its guard is an overridden method. Here there is nothing
to guard: the few opcodes that a state dict needs are interpreted on a stack of plain values, a global is a word in
an allow-list that stands for one of the functions below, and everything else ends the reading.

References:
  PyTorch, Serialization semantics, https://docs.pytorch.org/docs/stable/notes/serialization.html
  Python, pickletools (the opcodes), https://docs.python.org/3/library/pickletools.html
"""

import math
import pickletools
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

# A state dict of a thousand tensors needs about 50,000.
_MOST_OPCODES = 5_000_000
_MOST_AXES = 32

_DTYPES = {
    "torch.DoubleStorage": np.float64,
    "torch.FloatStorage": np.float32,
    "torch.HalfStorage": np.float16,
    "torch.BFloat16Storage": ml_dtypes.bfloat16,
    "torch.LongStorage": np.int64,
    "torch.IntStorage": np.int32,
    "torch.ShortStorage": np.int16,
    "torch.CharStorage": np.int8,
    "torch.ByteStorage": np.uint8,
    "torch.BoolStorage": np.bool_,
}


class Refused(Exception):
    """The pickle is broken, or asks for more than tensors in dicts, lists and tuples."""


class Storage(NamedTuple):
    """A block of numbers that lies elsewhere in the file, under ``key``; ``size`` counts elements."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """A window on a storage: offset and strides count elements. It lies within the storage: that is checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Reader:
    """Interprets pickles that follow each other in a stream.

    Attributes:
      storages: those that the pickles referred to, by key.
    """

    def __init__(self, stream: BinaryIO):
        self.storages: dict[str, Storage] = {}
        self._stream = stream

    def next(self) -> Any:
        """Reads the next pickle: dicts, lists, tuples, strings, numbers, booleans, None, and ``Tensor``.

        Raises:
          Refused: saying why.
        """
        try:
            # The parser warns of strings with odd escapes, before it can be seen that strings of that kind are refused.
            with warnings.catch_warnings(action="ignore"):
                return self._interpret(_Machine(self.storages))
        except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError) as error:
            raise Refused("its pickle is broken or cut off") from error

    def _interpret(self, machine: "_Machine") -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):
            if opcode.name == "STOP":
                return machine.stack.pop()
            if opcode.name not in _OPCODES or count > _MOST_OPCODES:
                raise Refused(f"it has the opcode {opcode.name} as number {count}, which no state dict needs")
            _OPCODES[opcode.name](machine, argument)
        raise Refused("its pickle is cut off")


class _Global(NamedTuple):
    """A name from the allow-list. Only a word: the thing of that name is never looked up."""

    name: str


class _Machine:
    """The stack, the marks on it, and the memo."""

    def __init__(self, storages: dict[str, Storage]):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages = storages
        self._marks: list[int] = []

    def mark(self, _: None) -> None:
        self._marks.append(len(self.stack))

    def pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def memoize(self, slot: int | None) -> None:
        self.memo[len(self.memo) if slot is None else slot] = self.stack[-1]

    def recall(self, slot: int) -> None:
        self.stack.append(self.memo[slot])

    def push_global(self, name: str) -> None:
        if name not in _CALLS and name not in _DTYPES:
            raise Refused(f"it asks to call {name[:80]!r}, which is code")
        self.stack.append(_Global(name))

    def reduce(self, _: None) -> None:
        called, arguments = self.pop(2)
        if not isinstance(called, _Global) or called.name not in _CALLS or type(arguments) is not tuple:
            raise Refused("it asks to call something that is not a function of the allow-list")
        self.stack.append(_CALLS[called.name](*arguments))

    def build(self, _: None) -> None:
        # The state of an OrderedDict is its attributes (PyTorch keeps ``_metadata`` there): not wanted.
        built, _ = self.pop(2)
        if type(built) is not dict:
            raise Refused("it asks to set the attributes of something that is not a dict")
        self.stack.append(built)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        keys, values = items[::2], items[1::2]
        if type(target) is not dict or not all(type(key) in (str, int) for key in keys):
            raise Refused("it has a dict whose keys are neither strings nor integers")
        target.update(zip(keys, values, strict=True))

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise TypeError
        self.stack[-1].extend(items)

    def push_storage(self, _: None) -> None:
        (reference,) = self.pop(1)
        # PyTorch before 1.6 adds a sixth part, for storages that are windows on others; it has long been None.
        kind, dtype, key, _, size, *window = reference
        if (kind, window) not in (("storage", []), ("storage", [None])) or type(key) is not str:
            raise Refused("it refers to something that is not a storage")
        if not isinstance(dtype, _Global) or dtype.name not in _DTYPES or not _is_count(size):
            raise Refused("it has a storage of unknown type or size")
        storage = Storage(key, np.dtype(_DTYPES[dtype.name]), size)
        if self.storages.setdefault(key, storage) != storage:
            raise Refused(f"its storage {key[:80]!r} has two types or sizes")
        self.stack.append(storage)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _ordered_dict(items: Any = ()) -> dict:
    if items:
        raise Refused("it has an OrderedDict with initial items")
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    counts = (offset, *shape, *strides)
    fit = len(shape) == len(strides) <= _MOST_AXES and all(map(_is_count, counts))
    if not isinstance(storage, Storage) or not fit:
        raise Refused("it has a tensor of unknown storage, shape or strides")
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > 0 and last >= storage.size:
        raise Refused(f"it has a tensor of shape {shape} that exceeds its storage of {storage.size} elements")
    if math.prod(shape) > storage.size:
        raise Refused(f"it has a tensor expanded to shape {shape} from {storage.size} elements: save it .contiguous()")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise Refused("it has a parameter that is not a tensor")
    return data


# What a state dict may "call": each is answered by the function here.
_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


_PUSHES = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE")

_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, _: None),
    **dict.fromkeys(_PUSHES, _push),
    "NONE": lambda m, _: _push(m, None),
    "NEWTRUE": lambda m, _: _push(m, True),
    "NEWFALSE": lambda m, _: _push(m, False),
    "EMPTY_DICT": lambda m, _: _push(m, {}),
    "EMPTY_LIST": lambda m, _: _push(m, []),
    "EMPTY_TUPLE": lambda m, _: _push(m, ()),
    "MARK": _Machine.mark,
    "TUPLE": lambda m, _: _push(m, tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: _push(m, tuple(m.pop(1))),
    "TUPLE2": lambda m, _: _push(m, tuple(m.pop(2))),
    "TUPLE3": lambda m, _: _push(m, tuple(m.pop(3))),
    "SETITEM": lambda m, _: m.set_items(m.pop(2)),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "APPEND": lambda m, _: m.extend(m.pop(1)),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
    "GLOBAL": lambda m, argument: m.push_global(argument.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.push_global(".".join(m.pop(2))),
    "BINPERSID": _Machine.push_storage,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
