"""What students took over, over all seeds of an experiment: intervals that say how another training would differ."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax.errors import UserError
from effjax.files import write_text
from effjax.recipes.analyze.experiment import analyze
from effjax.recipes.build.early_checks import check_results
from effjax.recipes.build.writing import write_json
from effjax.reports.provenance import provenance
from effjax.reports.tables import Estimate

_log = logging.getLogger("effjax")

SUMMARY_FILE = "analysis_seeds.json"
_PERCENT = ("share", "ece")


def analyze_seeds(
    experiment: str | Path,
    teacher: str,
    students: Sequence[str],
    control: str,
    seeds: Sequence[int],
    *,
    out: str | Path,
    results: str | Path = "",
    **options: Any,
) -> list[dict[str, Any]]:
    """Analyses every seed of an experiment and gathers the differences to the control.

    Seed by seed the teacher is compared with its students of the same seed; the controls are the network without a
    teacher of this seed and of the next, the foreign network is the teacher of the next seed.

    Args:
      experiment: the experiment's folder, ``experiment/run/seed_0``.
      teacher: the teacher's run, by name.
      students: runs that learnt from it.
      control: the same network without a teacher.
      seeds: two or more.
      out: the folder for each seed's report, ``out/seed_0``, and for ``analysis_seeds.json``.
      results: a Markdown file for the table; empty for none.
      **options: of :func:`effjax.recipes.analyze.experiment.analyze`.

    Returns:
      By measure: ``group``, ``name``, ``unit``, ``control`` (its value), ``chance`` (how a control
      differs from another) and ``students``, by name the difference to the controls, its mean over seeds and half of
      its 95 % interval.

    Raises:
      UserError: if there are fewer than two seeds, or a run is missing.
    """
    if len(seeds) < 2:
        raise UserError(f"--seeds={','.join(map(str, seeds))}: an interval over seeds needs two or more")
    check_results(results)
    folder, found = Path(experiment), []
    for seed, other in zip(seeds, [*seeds[1:], seeds[0]], strict=True):
        _log.info("seed %d: teacher, %d students, controls of the seeds %d and %d", seed, len(students), seed, other)
        found.append(
            analyze(
                f"{teacher}={folder}/{teacher}/seed_{seed}",
                [f"{name}={folder}/{name}/seed_{seed}" for name in students],
                [f"{control}={folder}/{control}/seed_{seed}", f"another {control}={folder}/{control}/seed_{other}"],
                foreign=f"another {teacher}={folder}/{teacher}/seed_{other}",
                out=Path(out) / f"seed_{seed}",
                **options,
            )
        )
    measures = [_gather(several, students, control) for several in zip(*(f["measures"] for f in found), strict=True)]
    write_json(Path(out) / SUMMARY_FILE, {"seeds": list(seeds), "measures": measures, "provenance": provenance()})
    if results:
        _publish(Path(results), measures, students, found[0], seeds)
    return measures


def _gather(several: Sequence[Mapping[str, Any]], students: Sequence[str], control: str) -> dict[str, Any]:
    first = several[0]
    rows = [{row["network"]: row for row in one["rows"]} for one in several]

    def differences(name: str) -> list[float]:
        """None at all where, say, an attack has turned no answer."""
        return [row[name]["difference"]["value"] for row in rows if name in row and row[name]["difference"]]

    gains = {name: differences(name) for name in students}

    values = [row[control]["value"]["value"] for row in rows if control in row]
    chance = differences(control)
    return {
        **{key: first[key] for key in ("group", "name", "unit")},
        "control": float(np.mean(values)) if values else None,
        "chance": float(np.sqrt(np.mean(np.square(chance)))) if chance else None,
        "students": {
            name: dataclasses.asdict(Estimate.interval(gain)) if len(gain) > 1 else None for name, gain in gains.items()
        },
    }


def _publish(path: Path, measures, students, first: Mapping[str, Any], seeds: Sequence[int]) -> None:
    heads = ["measure", "control", "one control to another", *students]
    lines = [f"| {' | '.join(heads)} |", "|---|---:|---:|" + "---:|" * len(students)]
    for measure in measures:
        cells = [_say(measure["control"], measure["unit"], ""), _say(measure["chance"], measure["unit"], "±")]
        for name in students:
            gain = measure["students"][name]
            if gain is None:
                cells.append("–")
                continue
            cell = f"{_say(gain['mean'], measure['unit'], '+')} ± {_say(gain['spread'], measure['unit'], '')}"
            cells.append(f"**{cell}**" if abs(gain["mean"]) > gain["spread"] else cell)
        lines.append(f"| {measure['name']} | {' | '.join(cells)} |")
    facts = provenance()
    text = [
        f"# What students took over on {first['dataset']}",
        "\n".join(lines),
        f"Mean difference to the controls over the seeds {', '.join(map(str, seeds))}, ± half its 95 % interval over "
        "seeds (Student's t), in points where the measure is a share; bold where the interval leaves out zero. *One "
        "control to another*: the root mean square difference between two networks that had no teacher.",
        *(f"{name}: {value}" for name, value in facts.items()),
    ]
    write_text(path, "\n\n".join(text) + "\n")
    _log.info("wrote %s", path)


def _say(value: float | None, unit: str, sign: str) -> str:
    if value is None:
        return "–"
    scaled, digits = (100 * value, 1) if unit in _PERCENT else (value, 3)
    return f"±{scaled:.{digits}f}" if sign == "±" else f"{scaled:{sign}.{digits}f}"
