"""Writing datasets to disk, whole or not at all."""

import contextlib
import fcntl
import os
import pathlib
import shutil
from collections.abc import Iterator

from effjax.data import builders
from effjax.data.tfds_source import parse_name, prepare_command, prepared_dir, require_known
from effjax.errors import UserError


def prepare(name: str, data_dir: str | pathlib.Path, *, download: bool = False) -> pathlib.Path:
    """Prepares a dataset as array_record, unless it is there. May be killed at any time and called again.

    Args:
        name: one of ``builders.NAMES``, or any other TFDS name, ``name[/config][:version]``.
        data_dir: the folder to write into; it is created.
        download: allows TFDS to download the dataset. Those of ``builders.NAMES`` need no network.

    Returns:
        The prepared dataset's folder.

    Raises:
        UserError: if there is no such dataset, it would have to be downloaded, or the folder cannot be written.
    """
    base, _, _ = parse_name(name)
    if found := prepared_dir(name, data_dir):
        return found
    require_known(name, data_dir)
    if base not in builders.NAMES and not download:
        raise UserError(f"dataset {name!r} must be downloaded; if you may, run: {prepare_command(name, data_dir)}")
    data_dir = pathlib.Path(data_dir).expanduser().absolute()
    with _only_process(data_dir, base):
        if found := prepared_dir(name, data_dir):  # by the process that we waited for
            return found
        _remove_leftovers(data_dir / base)
        _build(name, data_dir)
    return prepared_dir(name, data_dir)


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


def _build(name: str, data_dir: pathlib.Path) -> None:
    import tensorflow_datasets as tfds  # takes most of a second

    tfds.disable_progress_bar()
    base, config, _ = parse_name(name)
    if base in builders.NAMES:
        builder = builders.builder_class(base)(data_dir=data_dir, config=config)
    else:
        builder = tfds.builder(name, data_dir=data_dir)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            builder.download_and_prepare(file_format="array_record")
    except OSError as error:
        raise UserError(f"dataset {name!r} cannot be prepared in {data_dir}: {error}") from error
