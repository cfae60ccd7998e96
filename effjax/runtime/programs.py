"""The compiled programs of a run's stages, each made once, ahead of its stage, beside the training."""

import logging
import math
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

_log = logging.getLogger("effjax")


class Ready(NamedTuple):
    """A program and what it cost.

    Attributes:
      program: the compiled function.
      waited: seconds that training stood still for it.
    """

    program: Callable
    waited: float


class Programs:
    """Compiles in a background thread. XLA compiles without holding Python's lock, so training goes on meanwhile.

    Attributes:
      compiled: the keys of the programs that were compiled, in order.
    """

    def __init__(self):
        self.compiled: list[Hashable] = []
        self._futures: dict[Hashable, Future[Any]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compile")

    def prepare(self, key: Hashable, build: Callable[[], Callable]) -> None:
        """Starts to compile the program ``key``, unless that has been done before."""
        if key not in self._futures:
            self._futures[key] = self._thread.submit(self._build, key, build)

    def get(self, key: Hashable) -> Ready:
        """Returns the program ``key`` once it is there; raises what its compilation raised."""
        start = time.perf_counter()
        program = self._futures[key].result()
        return Ready(program, time.perf_counter() - start)

    def _build(self, key: Hashable, build: Callable[[], Callable]) -> Callable:
        start = time.perf_counter()
        program = build()
        self.compiled.append(key)
        _log.info("compiled %s in %.1f s", key, time.perf_counter() - start)
        return program

    def close(self) -> None:
        """Gives up what has not been started; waits for what has."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def block_length(
    platform: str, convolutions: bool, resident: bool, boundaries: list[int], limit: int | None = None
) -> tuple[int, bool]:
    """Chooses how many steps go into one dispatch, and whether they are unrolled.

    On CPU a convolution in a rolled loop is 30 to 40 times slower than on its own, while a few unrolled steps let the
    cores share the work; dense layers do not suffer, so there a long rolled loop saves nearly all the host's time. On
    GPU and TPU a rolled loop is as fast as its body.

    Args:
      platform: the devices' (``"cpu"``, ``"gpu"``, ``"tpu"``).
      convolutions: whether the step has any.
      resident: whether the dataset lives on the device; otherwise every step waits for its own batch anyway.
      boundaries: the steps between which blocks must fit: stages' ends, evaluations, checkpoints.
      limit: at most this many steps.

    Returns:
      ``(length, unroll)``; the length divides every boundary, and is a function of the config and the platform alone.
    """
    if not resident:
        longest = 1
    elif platform == "cpu":
        longest = 4 if convolutions else 64
    else:
        longest = 32
    longest = min(longest, limit or longest)
    common = math.gcd(*boundaries)
    length = max(n for n in range(1, longest + 1) if common % n == 0)
    return length, length > 1 and platform == "cpu" and convolutions
