"""Where a run's numbers go: a JSON-lines file that a resumed run continues exactly, and TensorBoard event files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import jax
from tensorboardX import SummaryWriter

from effjax.errors import UserError

METRICS_FILE = "metrics.jsonl"


class Writer:
    """Writes scalars by step; only the primary process does.

    ``metrics.jsonl`` holds only what is a function of (config, seed, step), so that a run that was killed and resumed
    leaves the same bytes as one that was not. Speeds and times go to TensorBoard alone.

    Args:
      workdir: the run's folder; made if it is not there.
      start_step: the step that the run starts or resumes at; what lies beyond it in the file is cut off, for it will
        be written again.

    Raises:
      UserError: if the folder cannot be written.
    """

    def __init__(self, workdir: str | Path, start_step: int):
        self._file = self._events = None
        if jax.process_index() != 0:
            return
        path = Path(workdir) / METRICS_FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _cut(path, start_step)
            self._file = path.open("a")
            self._events = SummaryWriter(str(path.parent / "events"), purge_step=start_step + 1)
        except OSError as error:
            raise UserError(f"workdir: cannot write {path}: {error.strerror}") from error

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes one line of exact values, to the file and to TensorBoard."""
        if self._file is None:
            return
        self._file.write(json.dumps({"step": step, **{name: float(v) for name, v in values.items()}}) + "\n")
        self._file.flush()
        self.speeds(step, values)

    def speeds(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values that depend on the machine, to TensorBoard only."""
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, float(value), step)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._events.close()


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
