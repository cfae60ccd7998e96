"""A metric as evaluation and training know it: a name, and a state that merges."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class State(Protocol):
    """What is known of the examples so far: :class:`effjax.metrics.Mean`, :class:`effjax.metrics.CalibrationBins`.

    On the devices a tree of sums, which merge by addition over batches, devices and processes.
    """

    def merge(self, other: Any) -> Any:
        """What is known of the examples of both."""
        ...

    def compute(self) -> Any:
        """The value, ``[]``; or several by name."""
        ...


@dataclasses.dataclass(frozen=True)
class Metric:
    """Something that is measured of predictions.

    Attributes:
      update: ``(predictions, batch, where) -> state`` of one batch: what a network returned for it, the batch with its
        targets, and booleans ``[B]``, false on examples that do not count. None for a batch of which the metric says
        nothing (the accuracy on mixtures of two images). Pure, unless ``on_host``.
      in_training: whether it is measured of training batches, too; its states are then :class:`effjax.metrics.Mean`.
      on_host: whether it is measured on the host, of numpy arrays: for what no sum can hold, as sets or texts.
    """

    update: Callable[[Any, Mapping[str, Any], Any], State | None]
    in_training: bool = False
    on_host: bool = False


def computed(states: Mapping[str, State]) -> dict[str, float]:
    """The values of metrics by name; one that computes several gives them by names of their own."""
    values: dict[str, float] = {}
    for name, state in states.items():
        value = state.compute()
        several = value if isinstance(value, Mapping) else {name: value}
        values.update({key: float(one) for key, one in several.items()})
    return values
