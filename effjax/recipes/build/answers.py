"""A teacher's answers on the training set, computed once and kept on disk."""

import contextlib
import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from effjax.data.base import Example, Source
from effjax.data.pipeline import eval_batches
from effjax.data.tables import Table
from effjax.errors import UserError
from effjax.files import StorageError
from effjax.recipes.build.views import words_of
from effjax.runtime import Backend
from effjax.runtime.hosts import told
from effjax.runtime.locks import LOCK_FILE, hold
from effjax.steps import NetworkTeacher, View, pack_answers
from effjax.typing import PyTree

_log = logging.getLogger("effjax")


_SECONDS_BETWEEN_LINES = 10.0
# A part is what a kill costs at most and what is in memory at once: a 256th of the examples, or 4,096 answers.
_PARTS, _LEAST, _MOST_BYTES = 256, 4096, 64 * 2**20


def answers_shapes(num_classes: int, source: Source, view: View, form: str) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a table of answers, ``[versions, ids, …]``.

    Raises:
      UserError: if the form is not known.
    """
    rows = max(view.replays, 1), int(source.ids().max()) + 1
    logits = jax.ShapeDtypeStruct((*rows, num_classes), np.float32)
    return jax.eval_shape(lambda logits: pack_answers(logits, form), logits)


def stored_answers(
    folder: Path,
    facts: Mapping[str, Any],
    teacher: NetworkTeacher,
    variables: PyTree,
    source: Source,
    view: View,
    seed: int,
    form: str,
    backend: Backend,
    batch_size: int,
    part: int = 0,
) -> Table:
    """The table that a student's teacher is looked up in: found on disk whole, or what is missing is computed.

    It is computed part by part. What an earlier process has put on the disk before it was killed is kept; what is
    damaged is said and computed anew. While another process computes it, this one waits.

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
      part: how many examples make a part; 0 chooses.

    Returns:
      The table, whole; ids that are not in the source have NaN.

    Raises:
      UserError: if it cannot be written or read.
    """
    # What two runs share: without a random view nothing depends on the seed.
    words = words_of(view)
    facts = {**facts, "teacher": repr(teacher).replace(repr(view), words), "form": form, "view": words}
    facts["ids"] = len(source)
    if view.is_random:
        facts["seed"] = seed
    if teacher.inputs != ("image",):
        facts["inputs"] = teacher.inputs
    path = folder / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    specs = answers_shapes(_num_classes(teacher), source, view, form)
    table = Table(path, specs, source.ids(), part or _part_size(specs, len(source), batch_size))
    if not _is_whole(table):
        with hold(path, wait=lambda: f"which has {table.done():.0%} of the teacher's answers"):
            missing, table.part = _agreed(lambda: (_begin(table, facts), table.part))
            if missing:
                answer = _Answerer(teacher, variables, view, seed, form, backend, batch_size)
                _compute(table, missing, answer, source, max(view.replays, 1))
                return table
    elif _agreed((path / LOCK_FILE).exists):  # of a process that was killed when all was there
        with contextlib.suppress(UserError), hold(path):
            pass
    _log.info("teacher's answers: read from %s", path)
    return table


def _is_whole(table: Table) -> bool:
    """Whether all is there and is what was written. A table of an earlier version is taken as it is, and hashed."""
    if not _agreed(lambda: table.is_old):
        return _agreed(lambda: table.folder.is_dir() and not table.missing(say=False))
    with contextlib.suppress(UserError), hold(table.folder):  # a folder that cannot be written does as well
        _agreed(table.adopt)
    return True


def _begin(table: Table, facts: Mapping[str, Any]) -> list[int]:
    for left in table.folder.parent.glob(f"{table.folder.name}.*.tmp"):  # of an earlier version that was killed
        shutil.rmtree(left, ignore_errors=True)
    return table.begin(facts)


def _part_size(specs: Mapping[str, Any], examples: int, batch_size: int) -> int:
    """How many examples make a part: whole batches, so that each has the company that it had without parts."""
    row = sum(math.prod(s.shape) // s.shape[1] * np.dtype(s.dtype).itemsize for s in specs.values())
    versions = next(iter(specs.values())).shape[0]
    wanted = min(max(examples // _PARTS, _LEAST // versions), _MOST_BYTES // max(row, 1))
    return math.ceil(max(wanted, 1) / batch_size) * batch_size


def _compute(table: Table, missing: Sequence[int], answer: "_Answerer", source: Source, versions: int) -> None:
    """Computes the parts that are missing; each is on the disk before the next is begun."""
    started = time.monotonic()
    kept = table.num_parts - len(missing)
    if kept:
        _log.info("teacher's answers: %d of %d parts are in %s already", kept, table.num_parts, table.folder)
    left = sum(table.rows(part).stop - table.rows(part).start for part in missing)
    done, said = 0, started

    def tell(examples: int) -> None:
        nonlocal done, said
        done, now = done + examples, time.monotonic()
        if now - said > _SECONDS_BETWEEN_LINES:
            said, speed = now, done * versions / (now - started)
            of = f"{done:,} of {left:,} images" + (f" in {versions} versions" if versions > 1 else "")
            _log.info("teacher's answers: %s, %s a second", of, f"{speed:,.0f}")

    for part in missing:
        found = answer(cast(Source, _Rows(source, table.rows(part))), tell)
        _agreed(lambda part=part, found=found: table.write(part, found))
    took, size = time.monotonic() - started, table.nbytes / 2**20
    _log.info("teacher's answers: %d in %.1f s, %.1f MiB, kept in %s", left * versions, took, size, table.folder)


class _Answerer:
    """Computes a teacher's answers; its program is compiled once."""

    def __init__(
        self, teacher: NetworkTeacher, variables: PyTree, view: View, seed: int, form: str, backend: Backend, size: int
    ):
        self._teacher, self._view, self._form = teacher, view, form
        self._backend, self._batch_size = backend, size
        self._state = backend.replicate({"frozen": variables, "seed": np.uint32(seed)})
        self._program: Callable | None = None

    def __call__(self, source: Source, tell: Callable[[int], None]) -> dict[str, np.ndarray]:
        """The answers on a source, ``[versions, n, …]`` in row order; ``tell`` hears of the examples of each batch."""
        versions = range(max(self._view.replays, 1))
        found: list[list[Mapping[str, np.ndarray]]] = [[] for _ in versions]
        hosts = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        with eval_batches(source, self._batch_size, **hosts) as batches:
            for number, batch in enumerate(batches):
                batch = {name: batch[name] for name in ("image", "id", "mask")}
                for version in versions:
                    found[version].append(self._answer(batch, version))
                tell(min(self._batch_size, len(source) - number * self._batch_size))
        names = found[0][0]
        return {
            name: np.stack([np.concatenate([one[name] for one in several])[: len(source)] for several in found])
            for name in names
        }

    def _answer(self, batch: Mapping[str, np.ndarray], version: int) -> Mapping[str, np.ndarray]:
        numbered = {**batch, "version": np.full(batch["id"].shape, version, np.int32)}
        placed = self._backend.shard(numbered, axis=0)
        if self._program is None:
            self._program = self._backend.compile(self._function, self._state, {}, placed, axis=0, donate=False)
        return self._backend.fetch(self._program(self._state, {}, placed))

    def _function(self, state: PyTree, _: PyTree, batch: PyTree) -> PyTree:
        view, name = self._view, self._backend.axis_name
        keys = view.replay_keys(state["seed"], batch["version"], batch["id"]) if view.is_random else None
        logits = self._teacher(state["frozen"], view.see(batch, keys)).logits
        found = pack_answers(logits, self._form)
        return found if name is None else jax.lax.all_gather(found, name, tiled=True)


class _Rows:
    """Some consecutive rows of a source."""

    def __init__(self, source: Source, rows: slice):
        self.info, self._source, self._rows = source.info, source, range(rows.start, rows.stop)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Example:
        return self._source[self._rows[row]]


def _num_classes(teacher: NetworkTeacher) -> int:
    return teacher.module.num_classes if teacher.classes is None else len(teacher.classes)


def _agreed(answer: Callable[[], Any]) -> Any:
    """What the primary process finds or does, which alone touches the table; all raise what it raises."""

    def tried() -> str:
        try:
            return json.dumps({"found": answer()})
        except UserError as error:
            return json.dumps({"error": str(error)})

    found = json.loads(told(tried, size=2**18))
    if "error" in found:
        raise StorageError(found["error"])
    return found["found"]
