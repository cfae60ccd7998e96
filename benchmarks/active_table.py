"""The lines of the active-learning benchmark's table."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.in_turn import ratio
from benchmarks.pages import Goal, middle_ratio

HEADER = (
    "| what | effjax | beside | takes | effjax / it (range) | goal | values |",
    "|---|---:|---|---:|---:|---:|---|",
)
_MIB = 2**20

Seconds = Sequence[float]


class Line(NamedTuple):
    """A line of the table, and what it should show.

    Attributes:
      text: Markdown.
      goal: of the ratio, where there is one.
    """

    text: str
    goal: Goal | None = None


def line(what: str, ours: str, other: str, theirs: str, share: str, goal: str, values: str = "") -> Line:
    return Line(f"| {' | '.join((what, ours, other, theirs, share, goal, values))} |")


def compared(
    what: str, ours: Seconds, other: str, theirs: Seconds, bound: float | None = None, values: str = ""
) -> Line:
    """Times beside one another, as many of the one as of the other; their ratio should be ``bound`` at most."""
    goal = "" if bound is None else f"≤ {bound:g}"
    said = line(what, shown(ours), other, shown(theirs), ratio(ours, theirs, digits=3), goal, values)
    return said if bound is None else said._replace(goal=_goal(what, other, middle_ratio(ours, theirs), bound))


def memory(what: str, ours: float, other: str, theirs: float, bound: float) -> Line:
    """Bytes beside one another, whose ratio should be ``bound`` at most."""
    sizes = (f"{size / _MIB:.0f} MiB" for size in (ours, theirs))
    what = f"memory of {what}"
    said = line(what, next(sizes), other, next(sizes), f"{ours / theirs:.3f}", f"≤ {bound:g}")
    return said._replace(goal=_goal(what, other, ours / theirs, bound))


def alone(what: str, ours: Seconds, used: float, seconds: float | None = None) -> Line:
    """A time and bytes with nothing beside them; it should take ``seconds`` at most."""
    goal = "" if seconds is None else f"≤ {seconds:g} s"
    said = line(what, f"{shown(ours)}, {used / _MIB:.0f} MiB", "", "", "", goal)
    return said if seconds is None else said._replace(goal=Goal(f"{what}, s", statistics.median(ours), seconds))


def _goal(what: str, other: str, measured: float, bound: float) -> Goal:
    return Goal(f"{what}, over {other}", measured, bound)


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
