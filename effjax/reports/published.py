"""Accuracies that papers report, beside one's own: a table a pair of networks."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effjax.errors import check_known
from effjax.reports.tables import Estimate, Table


@dataclasses.dataclass(frozen=True)
class Own:
    """What one has of a method.

    Attributes:
      accuracies: on the test split, of each seed that is done and measured, shares.
      epochs: of each seed that has begun, how many it has trained.
      total: how many a seed trains.
    """

    accuracies: Sequence[float]
    epochs: Sequence[float]
    total: float


@functools.cache
def published() -> Mapping[str, Any]:
    """What is published of CIFAR-100.

    Returns:
      ``methods``: what each is called in tables; ``sources``: where numbers are from, ``title`` and ``url`` each;
      ``pairs``: of each pair of networks, by method, the ``accuracy`` in percent, its ``source``, and where the source
      has one the ``spread`` over its seeds.
    """
    return json.loads((Path(__file__).parent / "numbers" / "cifar100.json").read_text())


def beside(pair: str, own: Mapping[str, Own]) -> Table:
    """The published accuracies of a pair, one's own, and how far they lie apart.

    Args:
      pair: teacher and student, e.g. ``"resnet56_resnet20"``.
      own: by method.

    Returns:
      A row a method: published ones in their order, then what only one's own has. Means over seeds have half of their
      95 % interval by Student's t.

    Raises:
      UserError: if nothing is published of the pair.
    """
    known = published()
    check_known(pair, known["pairs"], f"nothing is published here of the pair {pair!r}")
    theirs = known["pairs"][pair]
    names = [*theirs, *(name for name in own if name not in theirs)]
    header = ("method", "published", "source", "own", "difference", "seeds", "epochs")
    return Table(header, [_row(known["methods"].get(name, name), theirs.get(name), own.get(name)) for name in names])


def sources(pairs: Sequence[str]) -> list[str]:
    """A line for each source of the pairs' numbers."""
    known = published()
    named = {said["source"] for pair in pairs for said in known["pairs"][pair].values()}
    return [f"{name}: {said['title']}, {said['url']}" for name, said in known["sources"].items() if name in named]


def _row(label: str, theirs: Mapping[str, Any] | None, own: Own | None) -> tuple[str, ...]:
    said = ("–", "–")
    if theirs:
        spread = f" ± {theirs['spread']:.2f}" if "spread" in theirs else ""
        said = (f"{theirs['accuracy']:.2f}{spread}", theirs["source"])
    if own is None:
        return (label, *said, "", "", "", "")
    epochs = f"{min(own.epochs):.0f} of {own.total:.0f}" if own.epochs else f"0 of {own.total:.0f}"
    if not own.accuracies:
        return (label, *said, "", "", f"0 of {len(own.epochs)}", epochs)
    found = Estimate.interval(own.accuracies)
    mean, half = 100 * found.mean, "" if found.spread is None else f" ± {100 * found.spread:.2f}"
    difference = f"{mean - theirs['accuracy']:+.2f}" if theirs else ""
    return (label, *said, f"{mean:.2f}{half}", difference, f"{len(own.accuracies)} of {len(own.epochs)}", epochs)
