"""Which runs of an experiment come before which."""

from collections.abc import Iterable, Mapping
from typing import Any

from effjax.errors import UserError, check_known


def in_order(runs: Mapping[str, Any]) -> list[str]:
    """The names of the runs, each after those that teach it, rank its examples or are what it starts from.

    Of those that may begin, the ones that others need come first: who shares the work then waits least.

    Raises:
      UserError: if runs teach one another in a circle.
    """
    order: list[str] = []
    needed = {name for run in runs.values() for name in runs_before(run)}
    while len(order) < len(runs):
        ready = [name for name in runs if name not in order and set(runs_before(runs[name])) <= set(order)]
        if not ready:
            raise UserError(f"config.runs: {sorted(set(runs) - set(order))} teach one another in a circle")
        order.extend(sorted(ready, key=lambda name: name not in needed))
    return order


def needed_by(runs: Mapping[str, Any], only: Iterable[str]) -> list[str]:
    """The names of the runs that ``only`` are, with those that teach them or rank their examples, in order; empty: all.

    Raises:
      UserError: naming the nearest, if one is no run.
    """
    needed: set[str] = set()
    missing = list(only) or list(runs)
    while missing:
        name = missing.pop()
        check_known(name, runs, f"--only: no run {name!r}")
        if name not in needed:
            needed.add(name)
            missing.extend(runs_before(runs[name]))
    return [name for name in in_order(runs) if name in needed]


def runs_before(run_config: Mapping[str, Any]) -> Iterable[str]:
    """The names of the runs that must have ended before one begins: they teach it, or rank its examples."""
    yield from (source["run"] for source in run_config["teachers"].values() if source["run"])
    pace, coreset = run_config.get("pacing"), run_config.get("coreset")
    if pace and pace["order"] != "random":
        yield pace["run"]
    if coreset and coreset["part"] != "random":
        yield coreset["run"]
    if run_config.get("selection") and run_config["selection"].get("run"):
        yield run_config["selection"]["run"]
    rewind = run_config.get("rewind") or {}
    yield from (rewind[part] for part in ("run", "masks") if rewind.get(part))
    chosen_by = run_config.get("query") or {}
    if chosen_by.get("outliers") and chosen_by["outliers"]["run"]:
        yield chosen_by["outliers"]["run"]
