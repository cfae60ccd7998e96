"""What a file answers to the test split in onnxruntime, beside what the network and integer arithmetic answer."""

import logging
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from effjax import metrics
from effjax.data.base import Source
from effjax.export.sessions import onnx_session
from effjax.files import StorageError, read_arrays, write_whole
from effjax.recipes.build.writing import write_measured
from effjax.recipes.compress.files import ModelFile, known_as
from effjax.tasks import Task

_log = logging.getLogger("effjax")

MEASURED_FILE, LOGITS_FILE = "measured.json", "test_logits.npy"
_BATCH = 64
_ANEW = "the file is measured anew"


def measure(file: ModelFile, task: Task, test: Source, facts: dict[str, Any]) -> dict[str, Any]:
    """Measures a file on the test split, or reads what an earlier process has measured.

    Args:
      file: the file.
      task: what is learnt.
      test: the split.
      facts: what says which split that is.

    Returns:
      What the task measures (``accuracy``, ``nll``, ``ece``); ``agreement_own``, the share of images whose answer is
      that of the network as it was trained, computed with floats; ``same_bits``, of a quantised file the share of
      images whose logits are bit for bit those of integer arithmetic in JAX, else None.
    """
    identity = {**file.identity, "model_sha256": file.record["model_sha256"], "test": facts}
    known = known_as(file.folder / MEASURED_FILE, identity)
    if known is not None and _logits_are_whole(file):
        return known
    _log.info("measuring %s, seed %d, %s, in onnxruntime", file.name, file.done.seed, file.step)
    logits, same = _answers(file, test)
    own = file.done.assembled.predict(file.variables, test)
    measured = {
        "identity": identity,
        **task.measure(logits, {name: test.column(name) for name in task.targets}),
        "agreement_own": agreement(logits, own),
        "same_bits": same,
    }
    write_whole(file.folder / LOGITS_FILE, lambda opened: np.save(opened, logits))
    write_measured(file.folder / MEASURED_FILE, measured)
    return measured


def logits_of(file: ModelFile) -> np.ndarray:
    """The logits ``[N, K]`` on the test split that :func:`measure` has left."""
    return read_arrays(file.folder / LOGITS_FILE)


def agreement(logits: np.ndarray, others: np.ndarray) -> float:
    """The share of images with the same answer."""
    return float(np.asarray(metrics.agreement(logits, others), np.float64).mean())


def _answers(file: ModelFile, test: Source) -> tuple[np.ndarray, float | None]:
    """The file's logits, and how many rows are those of integer arithmetic."""
    session, logits, same = onnx_session(file.path), [], []
    for pixels, count in _batches(test):
        images = file.subject.shown(pixels)
        (found,) = session.run(["logits"], {"images": np.asarray(images, np.float32)[:count]})
        logits.append(found)
        if file.network.scheme is not None:
            (expected,) = jax.tree.leaves(file.network.answers(images))
            same.append((np.asarray(expected)[:count] == found).all(1))
    return np.concatenate(logits), float(np.concatenate(same).mean()) if same else None


def _batches(source: Source) -> Iterator[tuple[np.ndarray, int]]:
    """All images, some at a time, as they are stored; the last batch is filled up, so that one program does."""
    for start in range(0, len(source), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(source)))
        filled = np.resize(rows, _BATCH)
        yield np.stack([np.asarray(source[int(row)]["image"]) for row in filled]), len(rows)


def _logits_are_whole(file: ModelFile) -> bool:
    try:
        return logits_of(file).ndim == 2
    except StorageError as error:
        _log.warning("%s: %s", error, _ANEW)
        return False
