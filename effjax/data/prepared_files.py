"""The files of a prepared dataset: whole, and nothing in them runs."""

import contextlib
import hashlib
import json
import pathlib
import re
from typing import Any

from effjax import files
from effjax.errors import UserError

#: What the other files of a prepared dataset were when it was prepared.
DIGESTS_FILE = "digests.json"
_DESCRIPTIONS = ("dataset_info.json", "features.json")
_ARRAY_RECORD = ".array_record"
_CLASS_KEYS = ("pythonClassName", "python_class_name", "type")
_OF_TFDS = re.compile(r"tensorflow_datasets\.core\.features(\.[A-Za-z_]\w*)+")


def open_prepared(directory: pathlib.Path, again: str) -> Any:
    """Opens a prepared dataset as TFDS does, once it is clear that this imports nothing else.

    Args:
      directory: of the dataset.
      again: what to do about damage.

    Returns:
      A ``tfds.core.DatasetBuilder`` that only reads.

    Raises:
      UserError: if a file is damaged, or names a class that is not TFDS's own.
    """
    import tensorflow_datasets as tfds  # takes most of a second

    check_digests(directory, again)
    for name in _DESCRIPTIONS:
        _check_classes(files.read_json(directory / name, again), directory / name, again)
    try:
        return tfds.builder_from_directory(directory)
    except Exception as error:  # json, protobuf and TFDS raise nearly anything on contents that cannot be
        raise files.damaged(directory / "features.json", error, again) from error


def write_digests(directory: pathlib.Path) -> None:
    """Notes what the files of a prepared dataset are, unless that is noted; where it cannot be, nothing is compared."""
    if (directory / DIGESTS_FILE).exists():
        return
    with contextlib.suppress(files.StorageError, OSError):
        found = {path.name: _described(path) for path in sorted(directory.iterdir()) if _belongs(path)}
        files.write_sealed_json(directory / DIGESTS_FILE, found)


def _belongs(path: pathlib.Path) -> bool:
    """Whether a file is of the dataset, and not one that was put beside it, such as a picture."""
    return path.is_file() and (path.suffix in (".json", ".txt") or _ARRAY_RECORD in path.name)


def check_digests(directory: pathlib.Path, again: str) -> None:
    """Compares the files of a dataset with what they were; nothing to compare with is no damage.

    Records have checksums of their own, which are looked at as they are read: of these files, the size is compared.

    Raises:
      UserError: naming a file that is not what it was.
    """
    noted = directory / DIGESTS_FILE
    if not noted.exists():
        return
    for name, before in files.read_sealed_json(noted, again).items():
        path = directory / name
        if not path.exists():
            raise UserError(f"{path} is missing: {again}")
        with files.storage(path):
            now = _described(path)
        if before != now:
            raise files.damaged(path, f"it is not what {noted.name} says that was prepared", again)


def _described(path: pathlib.Path) -> dict[str, Any]:
    size = path.stat().st_size
    if _ARRAY_RECORD in path.name:
        return {"size": size}
    return {"size": size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _check_classes(value: Any, path: pathlib.Path, again: str) -> None:
    """TFDS imports the module of any class that the description of a feature names."""
    if isinstance(value, dict):
        for key in _CLASS_KEYS:
            name = value.get(key)
            # In older files "type" names a class; in others it may be any word.
            if isinstance(name, str) and (key != "type" or "." in name) and not _OF_TFDS.fullmatch(name):
                raise UserError(
                    f"{path}: refused: it names the class {name[:80]!r}, which TFDS would import and which is none of "
                    f"its own: {again}"
                )
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):  # JSON in JSON
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_classes(part, path, again)
