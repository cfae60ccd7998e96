"""Where a run's numbers go: a JSON-lines file that a resumed run continues exactly, and TensorBoard event files."""

import contextlib
import json
import logging
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import jax
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue] (it is generated)
from tensorboardX.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboardX.record_writer import RecordWriter

from effjax.files import damaged, storage, write_whole
from effjax.runtime.lines import checksum, parsed, up_to

_log = logging.getLogger("effjax")

METRICS_FILE = "metrics.jsonl"

_FLUSH_SECONDS = 30.0
_MOST_SAID = 6  # places in a damaged file


class Writer:
    """Writes scalars by step; only the primary process does.

    ``metrics.jsonl`` holds only what is a function of (config, seed, step), so that a run that was killed and resumed
    leaves the same bytes as one that was not. Speeds and times go to TensorBoard alone.

    Args:
      workdir: the run's folder; made if it is not there.
      start_step: the step that the run starts or resumes at; what lies beyond it in the file is cut off, for it will
        be written again.
      sums: what :meth:`sums` gave when the checkpoint of that step was saved; see :func:`mend_metrics`.

    Raises:
      StorageError: if the folder cannot be written, here or by any later call.
    """

    def __init__(self, workdir: str | Path, start_step: int, sums: str | None = None):
        self._file = self._events = None
        self._sums: list[str] = []
        if jax.process_index() != 0:
            return
        self._path = Path(workdir) / METRICS_FILE
        with storage(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._sums = [mend_metrics(workdir, start_step, sums)]
            self._file = self._path.open("a")
            self._events = _Events(self._path.parent / "events", start_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line of exact values, to the file and to TensorBoard."""
        if self._file is None:
            return
        line = json.dumps({"step": step, **{name: float(v) for name, v in values.items()}})
        with storage(self._path):
            self._file.write(line + "\n")
            self._file.flush()
        self._sums.append(checksum(line.encode()))
        self.speeds(step, values)

    def sums(self) -> str:
        """The checksums of all lines of the run so far, those of earlier processes too: for a checkpoint's notes."""
        self._sums = ["".join(self._sums)]
        return self._sums[0]

    def speeds(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values that depend on the machine, to TensorBoard only."""
        if self._events is not None:
            with storage(self._path.with_name("events")):
                self._events.add(step, values)

    def close(self) -> None:
        if self._file is not None and self._events is not None:
            with storage(self._path), contextlib.closing(self._events):
                self._file.close()


class _Events:
    """A TensorBoard event file, written where it is called: a thread in between would die of a full disk unheard."""

    def __init__(self, folder: Path, start_step: int):
        folder.mkdir(exist_ok=True)
        # The name says the second; where two processes share one, the step too, or the later overwrites the earlier.
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{start_step}"
        self._records = RecordWriter(str(folder / name))
        self._flushed = time.monotonic()
        self._write(file_version="brain.Event:2")
        # TensorBoard then forgets what an earlier process wrote of later steps.
        self._write(step=start_step + 1, session_log=SessionLog(status=SessionLog.START))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars of one step."""
        tagged = [Summary.Value(tag=name, simple_value=float(value)) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=tagged))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._records.flush()
            self._flushed = time.monotonic()

    def _write(self, **event) -> None:
        self._records.write(Event(wall_time=time.time(), **event).SerializeToString())

    def close(self) -> None:
        self._records.close()


def read_metrics(workdir: str | Path) -> list[dict[str, float]]:
    """Reads a run's ``metrics.jsonl``, one mapping a line, in order.

    Raises:
      StorageError: if it cannot be read or is damaged.
    """
    path = Path(workdir) / METRICS_FILE
    with storage(path):
        lines = path.read_bytes().split(b"\n")[:-1]  # what has no end is being written
    read = [parsed(line) for line in lines]
    if None in read:
        what = "run the training's command again: it leaves out what is damaged, and goes on"
        raise damaged(path, f"line {read.index(None) + 1}", what)
    return [values for values in read if values is not None]


def mend_metrics(workdir: str | Path, step: int, sums: str | None) -> str:
    """Leaves in ``metrics.jsonl`` the lines of a run up to a step, as they were written, and says what is missing.

    Args:
      workdir: the run's folder.
      step: that a checkpoint was saved at.
      sums: the checksums of the lines that were written up to then; None where the checkpoint does not say.

    Returns:
      These checksums: those of lost lines too, so that every later process says again what is missing.

    Raises:
      StorageError: if the file cannot be read or written.
    """
    path = Path(workdir) / METRICS_FILE
    with storage(path):
        data = path.read_bytes() if path.exists() else None
    lines, wrong = up_to(data or b"", step, sums)
    if wrong:
        more = f"; and {len(wrong) - _MOST_SAID} more such places" if len(wrong) > _MOST_SAID else ""
        _log.warning("%s: %s%s", path, "; ".join(wrong[:_MOST_SAID]), more)
    if (kept := b"".join(line + b"\n" for line in lines)) != data:
        write_whole(path, lambda file: file.write(kept))
    return "".join(map(checksum, lines)) if sums is None else sums
