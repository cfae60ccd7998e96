"""Which of a run's checkpoints are kept."""

import dataclasses
from collections.abc import Callable, Sequence

from orbax.checkpoint import checkpoint_managers as policies


@dataclasses.dataclass(frozen=True)
class NewestAndTheirBest(policies.PreservationPolicy):
    """Keeps the newest few, and what each of these notes as the best on validation.

    What is best is read from the checkpoints themselves, so that any process comes to the same, the tenth as the first;
    and where the newest turns out to be damaged, the one before still has its best.

    Attributes:
      keep: how many of the newest.
      best_of: from the step of a checkpoint to the step that its notes name as the best, or None.
    """

    keep: int
    best_of: Callable[[int], int | None]

    def should_preserve(
        self, checkpoints: Sequence[policies.PolicyCheckpointInfo], *, context: policies.PreservationContext
    ) -> Sequence[bool]:
        kept = self.kept([info.step for info in checkpoints])
        return [info.step in kept for info in checkpoints]

    def kept(self, steps: Sequence[int]) -> set[int]:
        """Those of the steps of checkpoints that stay."""
        newest = sorted(steps)[-self.keep :]
        return {*newest, *map(self.best_of, newest)} & {*steps}
