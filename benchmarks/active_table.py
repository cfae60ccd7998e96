"""The lines of the active-learning benchmark's table."""

import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks.in_turn import ratio

HEADER = (
    "| what | effjax | beside | takes | effjax / it (range) | goal | values |",
    "|---|---:|---|---:|---:|---:|---|",
)
_MIB = 2**20

Seconds = Sequence[float]


def line(what: str, ours: str, other: str, theirs: str, share: str, goal: str, values: str = "") -> str:
    return f"| {' | '.join((what, ours, other, theirs, share, goal, values))} |"


def compared(what: str, ours: Seconds, other: str, theirs: Seconds, goal: str, values: str = "") -> str:
    """Times beside one another, as many of the one as of the other."""
    return line(what, shown(ours), other, shown(theirs), ratio(ours, theirs, digits=3), goal, values)


def memory(what: str, ours: float, other: str, theirs: float, goal: str) -> str:
    """Bytes beside one another."""
    sizes = (f"{size / _MIB:.0f} MiB" for size in (ours, theirs))
    return line(f"memory of {what}", next(sizes), other, next(sizes), f"{ours / theirs:.3f}", goal)


def alone(what: str, ours: Seconds, used: float, goal: str = "") -> str:
    """A time and bytes with nothing beside them."""
    return line(what, f"{shown(ours)}, {used / _MIB:.0f} MiB", "", "", "", goal)


def shown(seconds: Seconds) -> str:
    median = statistics.median(seconds)
    return f"{median:.2f} s" if median >= 1 else f"{1e3 * median:.1f} ms"


def same_picks(ours: np.ndarray, theirs: np.ndarray) -> str:
    """Two whose distances float32 cannot tell apart may be picked in either order, which the set does not show."""
    picks = "the same picks" if set(ours.tolist()) == set(theirs.tolist()) else "NOT the same picks"
    return f"{picks}, {(ours == theirs).sum():,} of {len(ours):,} in the same place"


def same_values(ours: np.ndarray, theirs: np.ndarray) -> str:
    apart = np.abs(ours - theirs).max()
    return f"{'' if apart <= 1e-5 else 'NOT '}equal, {apart:.0e} apart"
