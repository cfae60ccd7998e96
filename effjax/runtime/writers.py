"""Where a run's numbers go: a JSON-lines file that a resumed run continues exactly, and TensorBoard event files."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import jax
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from effjax.errors import UserError

METRICS_FILE = "metrics.jsonl"

_FLUSH_SECONDS = 30.0


class Writer:
    """Writes scalars by step; only the primary process does.

    ``metrics.jsonl`` holds only what is a function of (config, seed, step), so that a run that was killed and resumed
    leaves the same bytes as one that was not. Speeds and times go to TensorBoard alone.

    Args:
      workdir: the run's folder; made if it is not there.
      start_step: the step that the run starts or resumes at; what lies beyond it in the file is cut off, for it will
        be written again.

    Raises:
      UserError: if the folder cannot be written, here or by any later call.
    """

    def __init__(self, workdir: str | Path, start_step: int):
        self._file = self._events = None
        if jax.process_index() != 0:
            return
        self._path = Path(workdir) / METRICS_FILE
        with self._writing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _cut(self._path, start_step)
            self._file = self._path.open("a")
            self._events = _Events(self._path.parent / "events", start_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line of exact values, to the file and to TensorBoard."""
        if self._file is None:
            return
        with self._writing():
            self._file.write(json.dumps({"step": step, **{name: float(v) for name, v in values.items()}}) + "\n")
            self._file.flush()
        self.speeds(step, values)

    def speeds(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values that depend on the machine, to TensorBoard only."""
        if self._events is not None:
            with self._writing():
                self._events.add(step, values)

    def close(self) -> None:
        if self._file is not None:
            with self._writing(), contextlib.closing(self._events):
                self._file.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"workdir: cannot write {self._path}: {error.strerror}") from error


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
    """Reads a run's ``metrics.jsonl``, one mapping a line, in order."""
    with (Path(workdir) / METRICS_FILE).open() as file:
        return [json.loads(line) for line in file]


def _cut(path: Path, start_step: int) -> None:
    """Keeps the whole lines up to ``start_step``; a killed process may have left half a line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > start_step:
            break
        kept.append(line)
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)
