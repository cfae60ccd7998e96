"""Reads the pickles inside PyTorch's checkpoints without unpickling: nothing in them is ever called or imported.

``pickle.Unpickler`` looks up and calls what a file names, and its guard is an overridden method. Here there is nothing
to guard: the opcodes that a checkpoint needs are interpreted on a stack of plain values, and a global is a word. A few
words stand for one of the functions below; what a file would make by any other is a placeholder that holds its name.

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
    """The pickle is broken, or asks for what no checkpoint needs."""


class Inert(dict):
    """The place of an object that is none of ours: what it was called, and what a file would have put into it.

    Attributes:
      kind: the name of the class or of the function, which is never looked up.
      attributes: its own, by name.
    """

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.attributes: dict[str, Any] = {}

    def __eq__(self, other: object) -> bool:
        """It may be a key: by what it is, not by what it holds."""
        return self is other

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] (a dict has none)
        return id(self)


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
      named: the classes and functions that they named, but for those that tensors are made by.
    """

    def __init__(self, stream: BinaryIO):
        self.storages: dict[str, Storage] = {}
        self.named: dict[str, None] = {}
        self._stream = stream

    def next(self) -> Any:
        """Reads the next pickle: dicts, lists, tuples, strings, numbers, booleans, None, ``Tensor`` and ``Inert``.

        Raises:
          Refused: saying why.
        """
        try:
            # The parser warns of strings with odd escapes, before it can be seen that strings of that kind are refused.
            with warnings.catch_warnings(action="ignore"):
                return self._interpret(_Machine(self.storages, self.named))
        except (ValueError, IndexError, KeyError, TypeError, UnicodeError, OverflowError) as error:
            raise Refused("its pickle is broken or cut off") from error

    def _interpret(self, machine: "_Machine") -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self._stream)):
            if opcode.name == "STOP":
                return machine.stack.pop()
            if opcode.name not in _OPCODES or count > _MOST_OPCODES:
                raise Refused(f"it has the opcode {opcode.name} as number {count}, which no checkpoint needs")
            _OPCODES[opcode.name](machine, argument)
        raise Refused("its pickle is cut off")


class _Global(NamedTuple):
    """A name. Only a word: the thing of that name is never looked up."""

    name: str


class _Machine:
    """The stack, the marks on it, and the memo."""

    def __init__(self, storages: dict[str, Storage], named: dict[str, None]):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages = storages
        self.named = named
        self._marks: list[int] = []

    def mark(self, _: None) -> None:
        self._marks.append(len(self.stack))

    def pop_to_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def drop(self, _: None) -> None:
        self.pop(1)

    def drop_to_mark(self, _: None) -> None:
        self.pop_to_mark()

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
            self.named[name] = None
        self.stack.append(_Global(name))

    def reduce(self, _: None) -> None:
        called, arguments = self.pop(2)
        if not isinstance(called, _Global | Inert) or type(arguments) is not tuple:
            raise Refused("it asks to call something that is not a function")
        self.stack.append(_made(called, arguments))

    def new_object(self, count: int) -> None:
        made, *_ = self.pop(count)
        if not isinstance(made, _Global | Inert):
            raise Refused("it asks for an object of something that is not a class")
        self.stack.append({} if _kind(made) == _ORDERED else Inert(_kind(made)))

    def build(self, _: None) -> None:
        # The state of an OrderedDict is its attributes (PyTorch keeps ``_metadata`` there): not wanted.
        built, state = self.pop(2)
        if type(built) not in (dict, Inert):
            raise Refused("it asks to set the attributes of something that is not an object")
        if isinstance(built, Inert):
            for part in state if type(state) is tuple else (state,):
                built.attributes.update(part if type(part) is dict else {})
        self.stack.append(built)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        keys, values = items[::2], items[1::2]
        if type(target) not in (dict, Inert) or not all(_may_be_key(key) for key in keys):
            raise Refused("it has a dict whose keys are no names or numbers")
        target.update(zip(keys, values, strict=True))

    def extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], Inert):
            return
        if type(self.stack[-1]) is not list:
            raise TypeError
        self.stack[-1].extend(items)

    def push_storage(self, _: None) -> None:
        (reference,) = self.pop(1)
        if reference[0] == "module":  # a class beside its source text, as PyTorch before 1.6 wrote whole networks
            self.stack.append(reference[1])
            return
        # PyTorch before 1.6 adds a sixth part, for storages that are windows on others; it has long been None.
        kind, dtype, key, _, size, *window = reference
        if (kind, window) not in (("storage", []), ("storage", [None])) or type(key) is not str:
            raise Refused("it refers to something that is not a storage")
        if not isinstance(dtype, _Global) or not dtype.name.endswith("Storage") or not _is_count(size):
            raise Refused("it has a storage of unknown type or size")
        if dtype.name not in _DTYPES:
            self.stack.append(Inert(dtype.name))
            return
        storage = Storage(key, np.dtype(_DTYPES[dtype.name]), size)
        if self.storages.setdefault(key, storage) != storage:
            raise Refused(f"its storage {key[:80]!r} has two types or sizes")
        self.stack.append(storage)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _may_be_key(value: Any) -> bool:
    """Tuples within tuples may take forever to hash."""
    plain = (str, bytes, int, float, bool, type(None), _Global, Inert)
    return type(value) in plain or (type(value) is tuple and all(type(one) in plain for one in value))


def _kind(called: "_Global | Inert") -> str:
    return called.name if isinstance(called, _Global) else called.kind


def _made(called: "_Global | Inert", arguments: tuple[Any, ...]) -> Any:
    return _CALLS[_kind(called)](*arguments) if _kind(called) in _CALLS else Inert(_kind(called))


def _ordered_dict(items: Any = ()) -> dict:
    if items:
        raise Refused("it has an OrderedDict with initial items")
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor | Inert:
    if isinstance(storage, Inert):
        return storage
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


def _parameter(data: Any, *_: Any) -> Tensor | Inert:
    if not isinstance(data, Tensor | Inert):
        raise Refused("it has a parameter that is not a tensor")
    return data


def _tensor_with_attributes(function: Any, _: Any, arguments: Any, *__: Any) -> Any:
    if not isinstance(function, _Global) or type(arguments) is not tuple or _CALLS.get(function.name) is not _tensor:
        raise Refused("it has a tensor with attributes that is made by another function than tensors are")
    return _tensor(*arguments)


_ORDERED = "collections.OrderedDict"
# What tensors in dicts are made by: each is answered by the function here.
_CALLS: dict[str, Callable[..., Any]] = {
    _ORDERED: _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _tensor_with_attributes,
}


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


_PUSHES = (
    "BININT",
    "BININT1",
    "BININT2",
    "LONG1",
    "LONG4",
    "BINFLOAT",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
)
# Python 2 wrote names as bytes; numpy writes its numbers so.
_BYTES = ("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")

_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda m, _: None),
    **dict.fromkeys((*_PUSHES, *_BYTES), _push),
    "NONE": lambda m, _: _push(m, None),
    "NEWTRUE": lambda m, _: _push(m, True),
    "NEWFALSE": lambda m, _: _push(m, False),
    "EMPTY_DICT": lambda m, _: _push(m, {}),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda m, _: _push(m, [])),
    "EMPTY_TUPLE": lambda m, _: _push(m, ()),
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_to_mark,
    **dict.fromkeys(("TUPLE", "FROZENSET"), lambda m, _: _push(m, tuple(m.pop_to_mark()))),
    "TUPLE1": lambda m, _: _push(m, tuple(m.pop(1))),
    "TUPLE2": lambda m, _: _push(m, tuple(m.pop(2))),
    "TUPLE3": lambda m, _: _push(m, tuple(m.pop(3))),
    "SETITEM": lambda m, _: m.set_items(m.pop(2)),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "APPEND": lambda m, _: m.extend(m.pop(1)),
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda m, _: m.extend(m.pop_to_mark())),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memoize),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.recall),
    "GLOBAL": lambda m, argument: m.push_global(argument.replace(" ", ".", 1)),
    "STACK_GLOBAL": lambda m, _: m.push_global(".".join(m.pop(2))),
    "BINPERSID": _Machine.push_storage,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": lambda m, _: m.new_object(2),
    "NEWOBJ_EX": lambda m, _: m.new_object(3),
    "BUILD": _Machine.build,
}
