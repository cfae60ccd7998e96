"""What every benchmark's page says of the machine, what must be so before a number is worth a page, and goals."""

import dataclasses
import datetime
import os
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effjax.files import read_json, write_json, write_text
from effjax.reports.provenance import provenance
from effjax.runtime.machine import processor

RESULTS = Path(__file__).parents[1] / "results"
GOALS = RESULTS / "goals"

_MOST = 0.5  # of the load average over a minute: whoever computes beside a benchmark slows one side of a ratio more
_PATIENCE = 240  # seconds that are waited for that, since the average forgets slowly
_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_tile")


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a benchmark wants to show, and what it found.

    Attributes:
      what: in words.
      measured: the number; None where it could not be had, and ``note`` says why.
      bound: what it should be at most, or at least.
      at_least: which of both.
      note: what one should know of it.
    """

    what: str
    measured: float | None
    bound: float
    at_least: bool = False
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether it is met; None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def row(self) -> str:
        """A line of a table: what, the bound, what was measured, whether that is enough."""
        measured = "" if self.measured is None else f"{self.measured:.4g}"
        met = {True: "met", False: "**missed**", None: "not measured"}[self.is_met]
        return f"| {self.what} | {'≥' if self.at_least else '≤'} {self.bound:g} | {measured} | {met} | {self.note} |"


def middle_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios, pair by pair."""
    return statistics.median(one / other for one, other in zip(ones, others, strict=True))


def quiet() -> float:
    """Waits until nobody else computes on this machine, and returns its load average.

    Raises:
      SystemExit: if somebody does for minutes.
    """
    until = time.monotonic() + _PATIENCE
    while (load := os.getloadavg()[0]) > _MOST:
        if time.monotonic() > until:
            raise SystemExit(f"the machine's load average is {load:.1f}: a benchmark wants at most {_MOST}, alone")
        time.sleep(2)
    return load


def machine(load: float | None) -> str:
    """A page's last lines: hardware, what its processor can do, versions, load.

    Args:
      load: the average before the benchmark began, from :func:`quiet`; None where nothing was timed.
    """
    facts = provenance()
    text = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    flags = [flag for flag in _FLAGS if re.search(rf"\b{flag}\b", text)]
    before = "" if load is None else f"; load {load:.1f} before it began"
    return f"- hardware: {facts['hardware']}; {', '.join(flags)}{before}\n- {facts['versions']}"


def write_page(path: Path, text: Sequence[str], load: float, goals: Sequence[Goal] = (), versions: str = "") -> None:
    """Writes a benchmark's page, and beside it its goals for the page of all.

    Args:
      path: the page.
      text: its parts, between which there is an empty line.
      load: as :func:`machine` takes it.
      goals: what the benchmark wanted to show, and found.
      versions: of the others' packages.
    """
    parts = list(text)
    if goals:
        rows = ["| goal | | measured | | |", "|---|---|---:|---|---|", *(goal.row() for goal in goals)]
        parts += ["\n".join(rows)]
    write_text(path, "\n\n".join([*parts, machine(load) + (f"; {versions}" if versions else "")]) + "\n")
    if goals:
        _write_goals(path, [dataclasses.asdict(goal) for goal in goals])


def write_sections(
    path: Path,
    head: Sequence[str],
    order: Sequence[str],
    found: Mapping[str, str],
    load: float | None,
    versions: str = "",
    goals: Sequence[Goal] = (),
) -> None:
    """Writes the sections of a page that were run; others stay as they are there, with the machine that they are of.

    Args:
      path: the page.
      head: its parts before the first section.
      order: the titles of all sections.
      found: by title, what was found.
      load: as :func:`machine` takes it.
      versions: of the others' packages.
      goals: of the sections that were run.
    """
    parts = path.read_text().split("\n## ")[1:] if path.exists() else []
    there = {part.partition("\n")[0]: f"## {part.strip()}" for part in parts}
    said = machine(load) + (f"; {versions}" if versions else "")
    there |= {title: f"## {title}\n\n{text}\n\n{said}" for title, text in found.items()}
    write_text(path, "\n\n".join([*head, *(there[title] for title in order if title in there)]) + "\n")
    if goals:
        ours, file = [dataclasses.asdict(goal) for goal in goals], _goals_file(path)
        before = read_json(file)["goals"] if file.exists() else []
        _write_goals(path, [*ours, *(one for one in before if one["what"] not in {goal["what"] for goal in ours})])


def _goals_file(page: Path) -> Path:
    cpu = re.sub(r"\W+", "_", processor().lower()).strip("_")
    return GOALS / f"{page.stem}.{cpu}.json"


def _write_goals(page: Path, goals: Sequence[Mapping[str, Any]]) -> None:
    GOALS.mkdir(parents=True, exist_ok=True)
    date = datetime.date.today().isoformat()
    write_json(_goals_file(page), {"page": page.name, "processor": processor(), "date": date, "goals": list(goals)})


def all_goals() -> str:
    """A table of the goals of all benchmarks, by the page that says more, and the processor that they ran on."""
    lines = ["| page | processor | day | goal | | measured | | |", "|---|---|---|---|---|---:|---|---|"]
    for file in sorted(GOALS.glob("*.json")):
        one = read_json(file)
        page = f"[{one['page'].removesuffix('.md')}]({one['page']})"
        lines += [f"| {page} | {one['processor']} | {one['date']} {Goal(**goal).row()}" for goal in one["goals"]]
    return "\n".join(lines)
