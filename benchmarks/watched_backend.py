"""A backend that notes when a device had done what it was asked."""

import time
from collections.abc import Mapping

from effjax.runtime.backends import JitBackend


class WatchedBackend(JitBackend):
    """Notes when the metrics of the last block that has been waited for were there."""

    finished = 0.0

    def fetch(self, tree):
        fetched = super().fetch(tree)
        if isinstance(tree, Mapping):  # otherwise a whole state, fetched on the way into a stage
            self.finished = time.perf_counter()
        return fetched
