"""A measure as rows: each network's value, the controls' beside it, and the difference on the same images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax import analysis
from effjax.recipes.analyze.networks import Panel

Values = Mapping[str, np.ndarray]


def measure(
    group: str, name: str, unit: str, panel: Panel, values: Values, *, without: str = "", keep: np.ndarray | None = None
) -> dict[str, Any]:
    """Compares students and controls on one value per image.

    Args:
      group: of the report.
      name: of the measure.
      unit: ``"share"`` of images, or ``"nats"``.
      panel: who is compared.
      values: by label ``[N]``; the teacher's own is noted where there is one.
      without: the label of a control that the measure says nothing of.
      keep: ``[N]``, the images that count; None: all.

    Returns:
      ``group``, ``name``, ``unit``, ``examples``, ``teacher`` (its mean, or None) and ``rows``: ``network``, ``role``,
      ``value``, ``control`` and ``difference`` to it. A control is compared with the other controls: with nothing to
      take over, it shows how large differences are by chance.
    """
    counted = {label: x if keep is None else x[keep] for label, x in values.items()}
    count = len(next(iter(counted.values())))
    rows = []
    for label, role in _compared(panel, without) if count > 1 else ():
        others = [counted[c.label] for c in panel.controls if c.label not in (label, without)]
        control = np.mean(others, axis=0) if others else None
        rows.append(
            {
                "network": label,
                "role": role,
                "value": _interval(counted[label]),
                "control": None if control is None else float(control.mean()),
                "difference": None if control is None else _plain(analysis.paired_interval(counted[label], control)),
            }
        )
    own = counted.get(panel.teacher.label)
    teacher = float(own.mean()) if own is not None and count else None
    return {"group": group, "name": name, "unit": unit, "examples": count, "teacher": teacher, "rows": rows}


def whole_set_measure(group: str, name: str, unit: str, panel: Panel, values: Mapping[str, float]) -> dict[str, Any]:
    """The same for a value that is one of the whole set, and so has no interval."""
    rows = []
    for label, role in _compared(panel, ""):
        others = [values[c.label] for c in panel.controls if c.label != label]
        control = float(np.mean(others)) if others else None
        difference = None if control is None else {"value": values[label] - control, "low": None, "high": None}
        value = {"value": values[label], "low": None, "high": None}
        rows.append({"network": label, "role": role, "value": value, "control": control, "difference": difference})
    return {"group": group, "name": name, "unit": unit, "teacher": values.get(panel.teacher.label), "rows": rows}


def closer_than_controls(group: str, name: str, panel: Panel, cosines: Values) -> dict[str, Any]:
    """In how many images a network's map is more like the teacher's than the controls' maps are; a tie counts half."""
    rows = []
    for label, role in _compared(panel, ""):
        others = [cosines[c.label] for c in panel.controls if c.label != label]
        if not others:
            continue
        ours = cosines[label]
        wins = np.mean([(ours > other) + 0.5 * (ours == other) for other in others], axis=0)
        share = _plain(analysis.mean_interval(wins))
        over_chance = {end: value - 0.5 for end, value in share.items()}
        rows.append({"network": label, "role": role, "value": share, "control": 0.5, "difference": over_chance})
    count = len(next(iter(cosines.values())))
    return {"group": group, "name": name, "unit": "share", "examples": count, "teacher": None, "rows": rows}


def _compared(panel: Panel, without: str) -> list[tuple[str, str]]:
    students = [(network.label, "student") for network in panel.students]
    return students + [(network.label, "control") for network in panel.controls if network.label != without]


def _interval(values: np.ndarray) -> dict[str, float]:
    return _plain(analysis.wilson_interval(values) if values.dtype == bool else analysis.mean_interval(values))


def _plain(interval: analysis.Interval) -> dict[str, float]:
    return {end: float(value) for end, value in interval._asdict().items()}
