"""How long files take in onnxruntime, beside one another."""

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax.export.sessions import onnx_session


@dataclasses.dataclass(frozen=True)
class Latency:
    """What one call takes, in milliseconds.

    Attributes:
      least: of all calls, what comes closest to an idle machine.
      median: of all calls.
    """

    least: float
    median: float


def latencies(
    models: Mapping[str, str | Path | bytes],
    batch_sizes: Sequence[int] = (1, 32),
    *,
    rounds: int = 100,
    warm_up: int = 10,
) -> dict[str, dict[int, Latency]]:
    """Times ONNX files on the CPU with one thread, all in turn, so that what else the machine does meets each of them.

    In each round every file is called twice in succession, in an order drawn anew; the second call is timed, for which
    its weights are where they are in steady use.

    Args:
      models: by name, the files, or what is in them; each has one input, ``images [batch, H, W, C]``.
      batch_sizes: images a call.
      rounds: calls that are timed, of each file and size.
      warm_up: rounds before these.

    Returns:
      By name and batch size.

    Raises:
      UserError: if onnxruntime is not installed.

    Example:
      >>> latencies({})
      {}
    """
    sessions = {name: onnx_session(model) for name, model in models.items()}
    found: dict[str, dict[int, Latency]] = {name: {} for name in models}
    draw = np.random.default_rng(0)
    for batch_size in batch_sizes:
        images = {name: _images(session, batch_size) for name, session in sessions.items()}
        times: dict[str, list[float]] = {name: [] for name in models}
        for number in range(warm_up + rounds):
            for name in draw.permutation(list(models)):
                session, given = sessions[name], {"images": images[name]}
                session.run(None, given)
                start = time.perf_counter_ns()
                session.run(None, given)
                if number >= warm_up:
                    times[name].append((time.perf_counter_ns() - start) / 1e6)
        for name, own in times.items():
            found[name][batch_size] = Latency(min(own), statistics.median(own))
    return found


def _images(session: Any, batch_size: int) -> np.ndarray:
    """Images of noise: how long a network takes does not depend on what is on them."""
    given = session.get_inputs()[0]
    pixels = np.random.default_rng(0).integers(0, 256, (batch_size, *given.shape[1:]))
    return pixels.astype(np.uint8) if given.type == "tensor(uint8)" else (pixels / 255).astype(np.float32)
