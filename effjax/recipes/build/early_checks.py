"""What would be found only after hours of training, found before."""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax.errors import UserError
from effjax.files import partial_of
from effjax.recipes.build.assemble import AssembledRun
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.start import start_from
from effjax.runtime.hosts import is_primary


def check_results(path: str | Path | None, flag: str = "--results") -> None:
    """Refuses a place for a table that it cannot be written to.

    Args:
      path: the Markdown file; a plot lies beside it; None or empty for none.
      flag: that names it, for messages.

    Raises:
      UserError: naming the path and the reason.
    """
    if not path:
        return
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{flag}={path} is a folder: name a Markdown file in it, {path / 'table.md'}")
    if path.suffix == ".png":
        raise UserError(
            f"{flag}={path}: the table is a Markdown file, its plot lies beside it: {path.with_suffix('.md')}"
        )
    if is_primary():
        check_writable(path.parent, f"{flag}={path}")
        for own in (path, path.with_suffix(".png")):
            if own.exists() and not os.access(own, os.W_OK):
                raise UserError(f"{flag}={path} cannot be written: {own} is read-only")


def check_writable(folder: Path, what: str) -> None:
    """Refuses a folder that nothing can be written into; makes it where it is not there.

    Args:
      folder: the folder.
      what: the flag or key that names it, with its value.

    Raises:
      UserError: naming it and the reason.
    """
    probe = partial_of(folder / "write_test")
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{what} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def check_teacher_cache(config: Mapping[str, Any]) -> None:
    """Refuses a folder for teachers' answers that cannot be written, where there will be answers.

    Raises:
      UserError: naming the folder and the reason.
    """
    folder = config["teacher_cache"]
    if folder and any(t["cached"] for run in config["runs"].values() for t in run["teachers"].values()):
        check_writable(Path(folder), f"config.teacher_cache={folder}")


def check_start(key: str, assembled: AssembledRun, datasets: Datasets) -> None:
    """Refuses weights that a run cannot start from.

    Raises:
      UserError: naming the key.
    """
    if assembled.config["init"]:
        start_from(jax.eval_shape(assembled.init, np.uint32(0)), assembled, datasets, key)
