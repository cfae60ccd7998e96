"""A live line on a terminal, a line now and then in a log file."""

import sys
import time

import jax
from tqdm import tqdm


class Progress:
    """Shows step, loss, accuracy, images/s and the time that is left; only the primary process does.

    Args:
      label: what is being trained.
      total_steps: the length of the run.
      start_step: where it starts or resumes.
      batch_size: examples a step, for the speed.
      every: seconds between lines where the output is not a terminal.
    """

    def __init__(self, label: str, total_steps: int, start_step: int, batch_size: int, *, every: float = 10.0):
        self._label, self._total, self._start, self._batch_size = label, total_steps, start_step, batch_size
        self._began = self._shown = time.perf_counter()
        self._live = sys.stderr.isatty()
        self._every = 0.2 if self._live else every
        self._silent = jax.process_index() != 0
        self.images_per_second = 0.0

    def update(self, step: int, values: dict[str, float]) -> None:
        """Notes the last finished step; prints if it is time to."""
        now = time.perf_counter()
        if self._silent or (now - self._shown < self._every and step < self._total):
            return
        self._shown = now
        seconds = max(now - self._began, 1e-9)
        self.images_per_second = (step - self._start) * self._batch_size / seconds
        left = tqdm.format_interval(seconds / max(step - self._start, 1) * (self._total - step))
        shown = "  ".join(f"{name} {_number(name, value)}" for name, value in values.items())
        self.print(f"{self._label}  {step}/{self._total}  {shown}  {self.images_per_second:,.0f} images/s  left {left}")

    def print(self, line: str, *, final: bool = False) -> None:
        """Prints a line; on a terminal the next one takes its place unless it is ``final``."""
        if self._silent:
            return
        end = "\n" if final or not self._live else ""
        print(f"\r\x1b[K{line}" if self._live else line, end=end, file=sys.stderr, flush=True)


def _number(name: str, value: float) -> str:
    return f"{value:.1%}" if name.endswith("acc") else f"{value:.3f}"
