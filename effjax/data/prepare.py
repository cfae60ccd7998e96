"""Writing datasets to disk, whole or not at all."""

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

from effjax.data import builders
from effjax.data.archives import Archive, archives_in, missing_in
from effjax.data.builders import official
from effjax.data.prepared_files import write_digests
from effjax.data.tfds_source import parse_name, prepare_command, prepared_dir, require_known
from effjax.errors import UserError
from effjax.files import home_expanded, storage_message


def prepare(name: str, data_dir: str | pathlib.Path, *, download: bool = False) -> pathlib.Path:
    """Prepares a dataset as array_record, unless it is there. May be killed at any time and called again.

    Args:
      name: one of ``builders.NAMES`` or ``official.DATASETS``, or any other TFDS name, ``name[/config][:version]``.
      data_dir: the folder to write into; it is created.
      download: allows to download the dataset. Those of ``builders.NAMES`` need no network; those of
        ``official.DATASETS`` are read from their archives in ``data_dir/downloads/name``, wherever they come from.

    Returns:
      The prepared dataset's folder.

    Raises:
      UserError: if there is no such dataset, it would have to be downloaded, or the folder cannot be written.
    """
    base, _, _ = parse_name(name)
    if found := prepared_dir(name, data_dir):
        write_digests(found)  # of data that TFDS, or an earlier version, has prepared
        return found
    require_known(name, data_dir)
    if base not in builders.NAMES and not is_official(name) and not download:
        raise UserError(f"dataset {name!r} must be downloaded; if you may, run: {prepare_command(name, data_dir)}")
    data_dir = home_expanded(data_dir).absolute()
    if is_official(name):
        missing_in(*_archives(name, data_dir), download=download, command=prepare_command(name, data_dir))
    with _only_process(data_dir, base):
        if found := prepared_dir(name, data_dir):  # by the process that we waited for
            return found
        _remove_leftovers(data_dir / base)
        _build(name, data_dir, download=download)
        directory = prepared_dir(name, data_dir)
        if directory is None and (other := prepared_dir(name.partition(":")[0], data_dir)):
            raise UserError(f"dataset {name!r}: version {other.name} is what can be prepared: leave the version out")
        if directory is None:
            # TFDS takes a version's folder for whole, whatever is in it.
            raise UserError(
                f"dataset {name!r}: {data_dir / base} is not whole: remove it, then run the same command again"
            )
        write_digests(directory)
    return directory


def is_official(name: str) -> bool:
    """Whether a dataset is one of others that is prepared here from its archives."""
    base, config, _ = parse_name(name)
    return base in official.DATASETS and config in (None, official.DATASETS[base].config)


def _archives(name: str, data_dir: pathlib.Path) -> tuple[pathlib.Path, list[Archive], str]:
    """Where the archives of a dataset lie, which they are, and whose."""
    base, _, _ = parse_name(name)
    return data_dir / "downloads" / base, official.archives_of(base), name


@contextlib.contextmanager
def _only_process(data_dir: pathlib.Path, base: str) -> Iterator[None]:
    """Waits for other processes that prepare the same dataset. The kernel frees the lock of a process that dies."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(data_dir / f".{base}.lock", os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise UserError(f"data_dir {data_dir} cannot be written ({error.strerror}): give another data_dir") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_leftovers(root: pathlib.Path) -> None:
    """TFDS writes into ``incomplete.XYZ_1.0.0`` and renames at the end; a killed preparation leaves that folder."""
    for path in root.rglob("incomplete.*"):
        shutil.rmtree(path, ignore_errors=True)


def _build(name: str, data_dir: pathlib.Path, *, download: bool) -> None:
    import tensorflow_datasets as tfds  # takes most of a second

    tfds.disable_progress_bar()
    base, config, _ = parse_name(name)
    ours = base in builders.NAMES or is_official(name)
    try:
        if is_official(name):
            command = prepare_command(name, data_dir)
            found = archives_in(*_archives(name, data_dir), download=download, command=command)
            builder = official.builder(base, data_dir, found, config)
        elif ours:
            builder = builders.builder_class(base)(data_dir=data_dir, config=config)
        else:
            builder = tfds.builder(name, data_dir=data_dir)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), _same_bytes():
            builder.download_and_prepare(file_format="array_record")
    except ModuleNotFoundError as error:
        raise UserError(_needs_package(name, data_dir, error)) from error
    except Exception as error:
        if isinstance(error, UserError):
            raise
        if why := _storage_message(error, data_dir):
            raise UserError(f"dataset {name!r} cannot be prepared in {data_dir}: {why}") from error
        if ours:
            raise
        said = " ".join(str(error).split())[:400] or type(error).__name__
        raise UserError(f"dataset {name!r} cannot be prepared by TFDS: {said}") from error


@contextlib.contextmanager
def _same_bytes() -> Iterator[None]:
    """Records get the same bytes in every process: protobuf writes features as they lie in its hash table."""
    from tensorflow_datasets.core.example_serializer import ExampleSerializer

    def serialize_example(self: ExampleSerializer, example: Any) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)

    own = ExampleSerializer.serialize_example
    ExampleSerializer.serialize_example = serialize_example
    try:
        yield
    finally:
        ExampleSerializer.serialize_example = own


def _storage_message(error: Exception, data_dir: pathlib.Path) -> str:
    """One line for what the operating system has said, also through the writer of records; empty for other errors."""
    if isinstance(error, OSError):
        return storage_message(error, data_dir)
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE):
        if isinstance(error, RuntimeError) and f"failed: {os.strerror(code)}" in str(error):
            return storage_message(OSError(code, os.strerror(code)), data_dir)
    return ""


def _needs_package(name: str, data_dir: pathlib.Path, error: ModuleNotFoundError) -> str:
    named = re.search(r"No module named '(\w+)", str(error))  # TFDS raises it anew without its name
    package = named[1] if named else " ".join(str(error).split())
    if package != "tensorflow":
        return f"dataset {name!r}: TFDS needs the package {package} to prepare it: install it, then run the same again"
    command = f"tfds build {name} --file_format=array_record --data_dir={data_dir}"
    return (
        f"dataset {name!r}: TFDS needs TensorFlow to prepare it, which is not here. Prepare it where TensorFlow is "
        f"({command}), and it is read here without; or lay its images out as folder:/path/SPLIT/CLASS/*.png. "
        f"Prepared without TensorFlow: {', '.join((*builders.NAMES, *official.DATASETS))}"
    )
