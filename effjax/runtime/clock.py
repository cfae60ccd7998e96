"""Where the time of a run goes: by stage, and between the loader and the device."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from effjax.curricula import Stage

T = TypeVar("T")


class Clock:
    """Counts seconds of training, without evaluation, saving and compiling; over all processes that had a part in it.

    Args:
      num_stages: of the run.
      notes: what :meth:`notes` of an earlier process gave, or None.
      now: seconds, for tests.
    """

    def __init__(
        self, num_stages: int, notes: Mapping[str, Any] | None = None, now: Callable[[], float] = time.perf_counter
    ):
        self._now = now
        self.stages = [[0.0, 0.0, 0] for _ in range(num_stages)]  # seconds, of which for the loader, steps
        self.at: list[list[float]] = []
        if notes:
            self.stages, self.at = [list(stage) for stage in notes["stages"]], [list(mark) for mark in notes["at"]]
        self._began: float | None = None

    def start(self) -> None:
        """The clock runs from here on."""
        self._began = self._now()

    def stop(self, stage: int) -> None:
        """Adds what has passed since :meth:`start` to a stage; nothing where it has been stopped."""
        if self._began is not None:
            self.stages[stage][0] += self._now() - self._began
            self._began = None

    def loading(self, blocks: Iterable[T], stage: int) -> Iterator[T]:
        """Yields from a loader, noting what it is waited for."""
        iterator = iter(blocks)
        while True:
            before = self._now()
            try:
                block = next(iterator)
            except StopIteration:
                return
            self.stages[stage][1] += self._now() - before
            yield block

    def steps(self, stage: int, count: int) -> None:
        """Notes steps of a stage that have been made."""
        self.stages[stage][2] += count

    def mark(self, step: int) -> None:
        """Notes how long it took to get to a step."""
        self.at.append([step, self.seconds])

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage[0] for stage in self.stages)

    def seconds_a_step(self, stage: int) -> float:
        """Of one stage."""
        seconds, _, steps = self.stages[stage]
        return seconds / max(steps, 1)

    def notes(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"stages": self.stages, "at": self.at}


def describe_stage(clock: Clock, stage: int, batch_size: int) -> str:
    """What is said at a stage's end: its speed, and who waited for whom."""
    seconds, loading, steps = clock.stages[stage]
    if not steps or not seconds:
        return "nothing was left to do"
    share = loading / seconds
    verdict = "the device waited for the loader" if share > 0.1 else "the loader kept up"
    each = seconds / steps
    return f"{batch_size / each:,.0f} images/s, {1e3 * each:.2f} ms a step; {verdict} ({share:.0%} of the time)"


def describe_cost(clock: Clock, plan: Sequence[Stage]) -> str:
    """What a run of growing images cost, over one of as many steps at the last size: by pixels, and as it was.

    Empty where the size stays the same.
    """
    sizes, steps = [stage.get("image_size") for stage in plan], [stage.num_steps for stage in plan]
    if len(set(sizes)) == 1:
        return ""
    total = sum(steps)
    predicted = sum(n * (size / sizes[-1]) ** 2 for n, size in zip(steps, sizes, strict=True)) / total
    full = clock.seconds_a_step(len(steps) - 1)
    actual = sum(n * clock.seconds_a_step(i) for i, n in enumerate(steps)) / max(full * total, 1e-9)
    return f"cost {actual:.2f} of a run at full size throughout; by the number of pixels {predicted:.2f}"
