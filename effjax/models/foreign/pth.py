"""PyTorch's checkpoint files, in both of their formats, as numpy arrays; PyTorch is not needed.

References:
  PyTorch, Serialization semantics, https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from effjax.errors import UserError
from effjax.models.foreign.pickles import Reader, Refused, Storage, Tensor
from effjax.models.foreign.state_dicts import missing_file, split_part, unwrap

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


def read_pth(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a state dict that ``torch.save`` wrote: a zip file, or before PyTorch 1.6 pickles one after the other.

    Only weights are read. No code in the file runs, whatever the file holds: it is not unpickled.

    Args:
      path: the file. A checkpoint with the state dict under "state_dict", "model" and the like will do, and so will
        one whose names begin with "module." (data parallelism), "_orig_mod." (compilation) or "model." (Lightning), or
        a network that was pickled whole. Of several state dicts an average over the training is read, under
        "model_ema" and the like; it is said which, and another is read if ``path`` ends in its name:
        ``weights.pth#model``. Settings, optimisers and objects of any class that lie beside it are left where they are.

    Returns:
      Arrays by name, read-only. They may share memory, as the tensors did.

    Raises:
      UserError: naming the file and what in it is refused: no tensors in dicts, damage, a tensor that exceeds its
        storage, a TorchScript program.
    """
    path, part = split_part(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise missing_file(path, error) from error
    try:
        reader, value, fetch = _open_zip(data) if data.startswith(b"PK\x03\x04") else _open_legacy(data)
        named = f", only what {', '.join(map(repr, list(reader.named)[:5]))} would make" if reader.named else ""
        if not isinstance(value, dict):
            raise Refused(f"it holds no dict of tensors{named}")
        found = unwrap(value, Tensor, path, part)
        if not found:
            raise Refused(f"it holds no tensors by name{named}")
        return {name: _array(tensor, fetch) for name, tensor in found.items()}
    except Refused as refusal:
        hint = "give a file written by torch.save(model.state_dict(), path)"
        raise UserError(f"{path}: refused as weights: {refusal}; {hint}") from refusal


Fetch = Callable[[Storage], bytes | memoryview]


def _array(tensor: Tensor, fetch: Fetch) -> np.ndarray:
    storage = tensor.storage
    flat = np.frombuffer(fetch(storage), storage.dtype, storage.size)[tensor.offset :]
    strides = [stride * flat.itemsize for stride in tensor.strides]
    try:
        return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
    except (ValueError, OverflowError) as error:
        raise Refused(f"it has a tensor of shape {tensor.shape} with strides that no array has") from error


def _open_zip(data: bytes) -> tuple[Reader, Any, Fetch]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        infos = archive.infolist()
        # PyTorch stores its entries as they are. So what unpacks to more than the file has was made to harm.
        if any(i.compress_type != zipfile.ZIP_STORED for i in infos) or sum(i.file_size for i in infos) > len(data):
            raise Refused("its zip entries are compressed or larger than the file")
        contents = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
        raise Refused("its zip archive is damaged or encrypted") from error
    roots = [name.removesuffix("/data.pkl") for name in contents if name.endswith("/data.pkl")]
    if any(name.partition("/")[2] == "constants.pkl" or "/code/" in name for name in contents):
        raise Refused("it is a TorchScript program: load it with torch.jit.load in PyTorch, and save its state_dict()")
    if len(roots) != 1:
        raise Refused("it is no zip archive of torch.save")
    if contents.get(f"{roots[0]}/byteorder", b"little") != b"little":
        raise Refused("it was written by a big-endian machine")
    reader = Reader(io.BytesIO(contents[f"{roots[0]}/data.pkl"]))
    value = reader.next()

    def fetch(storage: Storage) -> bytes | memoryview:
        stored = contents.get(f"{roots[0]}/data/{storage.key}", b"")
        return _checked(stored, storage)

    return reader, value, fetch


def _open_legacy(data: bytes) -> tuple[Reader, Any, Fetch]:
    stream = io.BytesIO(data)
    reader = Reader(stream)
    magic, protocol, system = reader.next(), reader.next(), reader.next()
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(system, dict):
        raise Refused("it does not begin as a PyTorch file does")
    if system.get("little_endian") is not True:
        raise Refused("it was written by a big-endian machine")
    value, keys = reader.next(), reader.next()
    blocks: dict[str, memoryview] = {}
    position = stream.tell()
    for key in keys if isinstance(keys, list) else ():
        if type(key) is not str or key not in reader.storages:
            raise Refused("it lists a storage that no tensor uses")
        start = position + 8
        position = start + reader.storages[key].size * reader.storages[key].dtype.itemsize
        if int.from_bytes(data[start - 8 : start], "little") != reader.storages[key].size:
            raise Refused(f"the size of its storage {key[:80]!r} is not the one announced")
        blocks[key] = memoryview(data)[start:position]
    return reader, value, lambda storage: _checked(blocks.get(storage.key, b""), storage)


def _checked(stored: bytes | memoryview, storage: Storage) -> bytes | memoryview:
    expected = storage.size * storage.dtype.itemsize
    if len(stored) != expected:
        raise Refused(f"its storage {storage.key[:80]!r} has {len(stored)} bytes of {expected}")
    return stored
