"""Photos in folders, and people who label them."""

import csv
from pathlib import Path

from tests.small_pools import CLASSES, class_of, fill, make_photos, paint


def draw(home: Path) -> None:
    """``trained/CLASS/`` to divide, ``photos/SPLIT/CLASS/`` to measure by, ``pool/`` to label."""
    make_photos(home)
    for name in CLASSES:
        for i in range(20):
            paint(home / "trained" / name / f"{name}_{i}.png", 2000 + i)


def answer(runs: Path) -> int:
    """Fills in every table that is open; returns how many.

    Every fifth photo is called what it is not, and every seventh is skipped.
    """
    tables = [path for path in sorted(runs.glob("*/seed_*/queries/*/labels.csv")) if not _is_filled(path)]
    for path in tables:
        fill(path, _label)
    return len(tables)


def _label(row: dict[str, str]) -> str:
    number = int(row["id"])
    if number % 7 == 3:
        return "skip"
    return class_of(row) if number % 5 else next(name for name in CLASSES if name != class_of(row))


def _is_filled(path: Path) -> bool:
    with path.open(newline="", encoding="utf-8") as file:
        return any(row["label"] for row in csv.DictReader(file))
