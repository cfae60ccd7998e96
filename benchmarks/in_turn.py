"""Timing several things in turn, so that all of them share the machine's moods."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_turn(timed: Mapping[str, Callable[[], object]], rounds: int, seconds: float = 0.3) -> dict[str, list[float]]:
    """Times functions one after the other, again and again.

    Args:
      timed: by name, what to time; it returns when its work is done.
      rounds: how often, after one for warming up.
      seconds: how long one timing should take at least.

    Returns:
      By name, seconds a call, one for each round.
    """
    times: dict[str, list[float]] = {name: [] for name in timed}
    for name, function in timed.items():
        function()
        times[name].append(_seconds(function, 1))
    for _ in range(rounds):
        for name, function in timed.items():
            times[name].append(_seconds(function, max(round(seconds / times[name][0]), 1)))
    return {name: several[1:] for name, several in times.items()}


def ratio(ones: Sequence[float], others: Sequence[float], digits: int = 2) -> str:
    """Median and range of the ratios, pair by pair, as a table shows them."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(ratios), min(ratios), max(ratios)))
    return f"{middle} ({low}–{high})"


def _seconds(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls
