"""A teacher's answers on the training set, computed once and kept on disk."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from effjax.data.base import Source, global_ids
from effjax.data.pipeline import eval_batches
from effjax.runtime import Backend
from effjax.runtime.hosts import is_primary
from effjax.steps import NetworkTeacher, View, pack_answers

_log = logging.getLogger("effjax")

Tree = Any


def answers_shapes(num_classes: int, source: Source, view: View, form: str) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of what :func:`stored_answers` returns.

    Raises:
      UserError: if the form is not known.
    """
    rows = max(view.replays, 1), int(global_ids(source).max()) + 1
    logits = jax.ShapeDtypeStruct((*rows, num_classes), np.float32)
    return jax.eval_shape(lambda logits: pack_answers(logits, form), logits)


def stored_answers(
    folder: Path,
    facts: Mapping[str, Any],
    teacher: NetworkTeacher,
    variables: Tree,
    source: Source,
    view: View,
    seed: int,
    form: str,
    backend: Backend,
    batch_size: int,
) -> dict[str, np.ndarray]:
    """What :class:`effjax.steps.CachedTeacher` looks up: read from disk, or computed and written.

    Args:
      folder: of all answers; each table has a folder in it, named by the hash of what determines it.
      facts: what determines the table besides the view, the form and the teacher's settings: the hash of its
        parameters, the dataset.
      teacher: the teacher.
      variables: what it reads, on the host.
      source: the training set.
      view: how its images are seen; if at random, in ``view.replays`` versions.
      seed: the run's, from which the versions are drawn.
      form: as :func:`effjax.steps.pack_answers` has it.
      backend: where to compute.
      batch_size: examples at once, over all devices.

    Returns:
      Arrays ``[versions, ids, …]``; ids that are not in the source have NaN.
    """
    # What two runs share: without a random view nothing depends on the seed.
    facts = {**facts, "teacher": repr(teacher), "form": form, "view": repr(view), "ids": len(source)}
    if view.is_random:
        facts["seed"] = seed
    table = folder / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    if _all(table.is_dir()):
        _log.info("teacher's answers: read from %s", table)
        return {path.stem: np.load(path, allow_pickle=False) for path in sorted(table.glob("*.npy"))}
    started = time.monotonic()
    arrays = _compute(teacher, variables, source, view, seed, form, backend, batch_size)
    if is_primary():
        _write(table, facts, arrays)
    size = sum(array.nbytes for array in arrays.values()) / 2**20
    count = len(source) * max(view.replays, 1)
    _log.info("teacher's answers: %d in %.1f s, %.1f MiB, kept in %s", count, time.monotonic() - started, size, table)
    return arrays


def _compute(teacher, variables, source, view, seed, form, backend, batch_size) -> dict[str, np.ndarray]:
    def answer(state, _, batch):
        keys = view.replay_keys(state["seed"], batch["version"], batch["id"]) if view.is_random else None
        logits = teacher(state["frozen"], batch, view(batch["image"], keys)).logits
        found = {"id": batch["id"], "mask": batch["mask"], **pack_answers(logits, form)}
        return found if backend.axis_name is None else jax.lax.all_gather(found, backend.axis_name, tiled=True)

    state = backend.replicate({"frozen": variables, "seed": np.uint32(seed)})
    shapes = answers_shapes(_num_classes(teacher), source, view, form)
    # An id that has no answer gives NaN, which stops a run.
    arrays = {
        name: np.full(shape.shape, 0 if name == "classes" else np.nan, shape.dtype) for name, shape in shapes.items()
    }
    hosts = {"process_index": jax.process_index(), "process_count": jax.process_count()}
    program = None
    with eval_batches(source, batch_size, **hosts) as batches:
        for batch in batches:
            batch = {name: batch[name] for name in ("image", "id", "mask")}
            for version in range(max(view.replays, 1)):
                numbered = {**batch, "version": np.full(batch["id"].shape, version, np.int32)}
                placed = backend.shard(numbered, axis=0)
                program = program or backend.compile(answer, state, {}, placed, axis=0, donate=False)
                found = backend.fetch(program(state, {}, placed))
                kept = found["mask"].astype(bool)
                for name in arrays:
                    arrays[name][version, found["id"][kept]] = found[name][kept]
    return arrays


def _num_classes(teacher: NetworkTeacher) -> int:
    return teacher.module.num_classes if teacher.classes is None else len(teacher.classes)


def _write(table: Path, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes the table whole or not at all."""
    temporary = table.with_name(f"{table.name}.{os.getpid()}.tmp")
    temporary.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(temporary / f"{name}.npy", array, allow_pickle=False)
    (temporary / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    try:
        os.replace(temporary, table)
    except OSError:  # another run has just written the same
        shutil.rmtree(temporary)


def _all(here: bool) -> bool:
    """Whether every process says so: they compute together, or not at all."""
    return bool(np.all(multihost_utils.process_allgather(np.array(here)))) if jax.process_count() > 1 else here
