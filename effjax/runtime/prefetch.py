"""The next stage's batches, opened while the stage before still trains: starting readers takes seconds."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_NONE = object()


class Prefetch:
    """An iterator whose first element is fetched in a background thread, from the moment this is made.

    Args:
      blocks: a generator; nobody else may use it.
    """

    def __init__(self, blocks: Generator[Any, None, None]):
        self._blocks = blocks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._first = self._thread.submit(next, blocks, _NONE)

    def __iter__(self) -> Iterator[Any]:
        first = self._first.result()
        self._thread.shutdown()
        if first is not _NONE:
            yield first
            yield from self._blocks

    def close(self) -> None:
        """Gives the readers back, where the stage has not begun."""
        self._thread.shutdown(wait=True)
        self._blocks.close()
