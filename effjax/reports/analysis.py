"""The page on what students took over from their teacher."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from effjax.reports import analysis_plots as plots
from effjax.reports.pages import Page, data_url


class Interval(TypedDict):
    """What a report shows of a value: the ends are None where one training says nothing of them."""

    value: float
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Where networks see the true class of a few images.

    Attributes:
      images: uint8 ``[P, H, W, C]``.
      labels: the true classes, ``[P]``.
      maps: by network, ``[P, h, w]``; the teacher's first.
      cosines: by network, that of its map with the teacher's, ``[P]``.
    """

    images: np.ndarray
    labels: np.ndarray
    maps: Mapping[str, np.ndarray]
    cosines: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Section:
    """What the page says about a group of measures."""

    title: str
    meaning: str
    control: str


_SECTIONS = {
    "answers": _Section(
        "Answers",
        "How often a network is right; how often its answer is the teacher’s, right or wrong; how far its "
        "probabilities are from the teacher’s (Kullback–Leibler divergence in nats, 0 is the same; at temperature 4 "
        "the unlikely classes count too); and how far its confidence is from its accuracy (ECE, 15 bins).",
        "Networks that learn the same labels agree often anyway: what goes beyond the controls came from the teacher.",
    ),
    "layers": _Section(
        "Layers",
        "Linear CKA says how alike two layers represent the images: 1 is the same up to rotation and scale, 0 "
        "is nothing in common (unbiased, so that chance is 0 however wide a layer is).",
        "A network that never saw the teacher resembles it too, and most at the same depth.",
    ),
    "localisation": _Section(
        "Where the evidence is seen",
        "Grad-CAM maps of the true class, compared by their cosine with the teacher’s. In how many images is the "
        "student’s map more like the teacher’s than the control’s is? A network without convolutional layers has "
        "gradient × input instead.",
        "50 % is chance: one control against another shows it.",
    ),
    "attack": _Section(
        "Weaknesses",
        "Images changed by iterated FGSM on the teacher, five steps; of those that turn the teacher’s answer, how many "
        "turn the student’s too?",
        "The controls are fooled as far as any network is. Random changes of the same size fool whoever is frail. A "
        "foreign network’s attack should fool the student no more than the controls.",
    ),
    "invariance": _Section(
        "Indifference to changes",
        "How often the answer stays when brightness, contrast and hue change, when a part is cut out and enlarged, "
        "when the image is shifted. A student may take this over without having seen such changes.",
        "The controls have only what their own training gave them; the teacher’s own value says how much there was to "
        "take over.",
    ),
    "domains": _Section(
        "Worlds that none was trained on",
        "On these images there is often no right answer. How often is the student’s the teacher’s?",
        "The controls’ agreement with the teacher is what the training images alone bring about.",
    ),
}


def write_analysis(
    path: str | Path, findings: Mapping[str, Any], evidence: Evidence, class_names: Sequence[str]
) -> None:
    """Writes the report.

    Args:
      path: the file to write.
      findings: what :func:`effjax.recipes.analyze.experiment.analyze` returns.
      evidence: for the pictures of maps.
      class_names: in the order of the labels.
    """
    teacher = next(network["label"] for network in findings["networks"] if network["role"] == "teacher")
    captions = [str(class_names[int(label)]) for label in evidence.labels]
    pictures = {
        "answers": plots.reliability(findings["reliability"]),
        "layers": plots.alignment(findings["cka"]),
        "localisation": plots.evidence_maps(evidence.images, captions, evidence.maps, evidence.cosines, teacher),
    }
    compared = any(row["difference"] for m in findings["measures"] for row in m["rows"])
    lead = (
        f"{findings['examples']:,} images of {findings['dataset']} ({findings['split']}). Every network stands beside "
        "controls: networks that had no teacher. A difference is taken image by image, with the 95 % interval over "
        "images; it is green where the interval leaves out zero. Controls are compared with each other, to show what "
        "is chance: the intervals say nothing of how training with another seed would differ."
    )
    facts = {**findings["provenance"], "seed": findings["seed"], "seconds": findings["seconds"]}
    Page(f"What the students took over from {teacher}", lead, facts).write(
        path,
        "analysis.html",
        findings=findings,
        overview=data_url(plots.differences(findings["measures"])) if compared else "",
        sections=[
            (section, data_url(pictures[group]) if group in pictures else "", _tables(findings["measures"], group))
            for group, section in _SECTIONS.items()
        ],
        zero_maps={label: count for label, count in findings["zero_maps"].items() if count},
    )


def _tables(measures: Sequence[Mapping[str, Any]], group: str) -> list[dict[str, Any]]:
    """The measures of a group as text."""
    return [
        {
            "name": m["name"],
            "examples": m.get("examples"),
            "teacher": None if m["teacher"] is None else _number(m["teacher"], m["unit"]),
            "rows": [
                {
                    "network": row["network"],
                    "role": row["role"],
                    "value": _with_interval(row["value"], m["unit"]),
                    "control": "–" if row["control"] is None else _number(row["control"], m["unit"]),
                    "difference": _with_interval(row["difference"], m["unit"], "+"),
                    "sure": _excludes_zero(row["difference"]),
                }
                for row in m["rows"]
            ],
        }
        for m in measures
        if m["group"] == group
    ]


def _number(value: float, unit: str, sign: str = "") -> str:
    return f"{100 * value:{sign}.1f}" if unit == "share" else f"{value:{sign}.3f}"


def _with_interval(interval: Interval | None, unit: str, sign: str = "") -> str:
    if interval is None:
        return "–"
    value = _number(interval["value"], unit, sign) + (" %" if unit == "share" and not sign else "")
    if interval["low"] is None or interval["high"] is None:
        return value
    return f"{value}  [{_number(interval['low'], unit, sign)}, {_number(interval['high'], unit, sign)}]"


def _excludes_zero(interval: Interval | None) -> bool:
    if interval is None or interval["low"] is None or interval["high"] is None:
        return False
    return interval["low"] > 0 or interval["high"] < 0
