"""What a student took over from its teacher: every measure beside that of networks that had no teacher."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax.data.base import Source
from effjax.data.pipeline import stack
from effjax.errors import UserError
from effjax.recipes.analyze.measures import (
    answer_measures,
    attack_measures,
    domain_measures,
    inner_measures,
    invariance_measures,
    look,
)
from effjax.recipes.analyze.networks import Network, Panel, open_panel, open_source
from effjax.recipes.analyze.views import DOMAINS, answers, unchanged, weakest_attack
from effjax.recipes.build.sharing import check_workdir
from effjax.recipes.build.writing import write_json
from effjax.reports.analysis import Evidence, write_analysis
from effjax.reports.provenance import provenance

FINDINGS_FILE, REPORT_FILE = "analysis.json", "analysis.html"
_BATCH, _SHOWN = 128, 8


def analyze(
    teacher: str,
    students: Sequence[str],
    controls: Sequence[str] = (),
    *,
    split: str = "test",
    foreign: str = "",
    datasets: Sequence[str] = (),
    data_dir: str = "data",
    which: str = "last",
    max_examples: int = 2000,
    epsilon: float = 0.0,
    seed: int = 0,
    out: str | Path = "",
) -> dict[str, Any]:
    """Compares students with their teacher, and with controls: networks of the students' kind that had no teacher.

    Args:
      teacher: a run's folder, or ``label=RUN``.
      students: the runs that learnt from it, alike.
      controls: runs that did not. With two or more, each is also compared with the others.
      split: of the dataset that the teacher was trained on.
      foreign: a run that had nothing to do with the teacher, whose attack is the control of the teacher's; else the
        last of the controls.
      datasets: further datasets of the same classes and image shape, as unseen domains.
      data_dir: where the datasets are prepared.
      which: ``"last"`` checkpoints, or the ``"best"`` by validation.
      max_examples: of more, a random part is taken.
      epsilon: the attack's size as a share of the pixels' range; 0 takes the weakest that turns half of the teacher's
        answers.
      seed: of every random draw.
      out: the folder for ``analysis.json`` and ``analysis.html``; empty writes nothing.

    Returns:
      What ``analysis.json`` holds, see docs/analysis.md.

    Raises:
      UserError: if runs are missing, do not belong together, or a dataset does not fit.
    """
    started = time.monotonic()
    if out:
        check_workdir(Path(out))
    panel = open_panel(teacher, students, controls, foreign, which)
    source = open_source(panel.teacher, "", split, data_dir)
    others = {name: open_source(panel.teacher, name, split, data_dir) for name in datasets}
    batch = _read(source, max_examples, seed)
    for name, other in others.items():
        if other.info.image_shape != source.info.image_shape:
            raise UserError(f"--datasets={name}: images are {other.info.image_shape}, not {source.info.image_shape}")
    unseen = {name: _read(other, max_examples, seed) for name, other in others.items()}
    findings, evidence = _examine(panel, batch, unseen, epsilon, seed)
    findings = {"dataset": source.info.name, "split": split, "seed": seed, **findings}
    findings["seconds"], findings["provenance"] = round(time.monotonic() - started, 1), provenance()
    if out:
        write_json(Path(out) / FINDINGS_FILE, findings)
        write_analysis(Path(out) / REPORT_FILE, findings, evidence, source.info.class_names)
    return findings


def _read(source: Source, max_examples: int, seed: int) -> dict[str, np.ndarray]:
    """Images, labels and ids of the source, or of a random part of it, in order."""
    count = min(len(source), max_examples)
    if count < 8:
        raise UserError(f"{count} examples of {source.info.name!r} are too few to compare networks on: 8 at least")
    rows = np.sort(np.random.default_rng(seed).permutation(len(source))[:count])
    return stack([source[int(row)] for row in rows])


def _examine(
    panel: Panel, batch: Mapping[str, np.ndarray], unseen: Mapping[str, Mapping[str, np.ndarray]], epsilon, seed
) -> tuple[dict[str, Any], Evidence]:
    size = min(_BATCH, len(batch["label"]))

    def ask(change, purpose, of=batch):
        return answers(panel.all, of["image"], of["id"], change, seed, purpose, min(size, len(of["label"])))

    clean = ask(unchanged, "unchanged")
    measures, reliability = answer_measures(panel, clean, batch["label"])
    maps, cosines, cka = look(panel, batch, size)
    measures += inner_measures(panel, cosines, cka)
    epsilon = epsilon or weakest_attack(panel.teacher, batch["image"], size)
    measures += attack_measures(panel, clean, ask, epsilon)
    measures += invariance_measures(panel, clean, ask)
    domains = {name: ask(change, name) for name, change in DOMAINS.items()}
    domains |= {name: ask(unchanged, name, of) for name, of in unseen.items()}
    measures += domain_measures(panel, domains)
    shape = batch["image"].shape[1:]
    findings = {
        "examples": len(batch["label"]),
        "epsilon": epsilon,
        "networks": [_describe(panel, network, shape) for network in panel.all],
        "measures": measures,
        "reliability": reliability,
        "cka": cka,
        "zero_maps": {label: int((x.max((1, 2)) == 0).sum()) for label, x in maps.items()},
    }
    shown = np.linspace(0, len(batch["label"]) - 1, min(_SHOWN, len(batch["label"]))).astype(int)
    evidence = Evidence(
        images=batch["image"][shown],
        labels=batch["label"][shown],
        maps={label: x[shown] for label, x in maps.items()},
        cosines={label: x[shown] for label, x in cosines.items()},
    )
    return findings, evidence


def _describe(panel: Panel, network: Network, shape: tuple[int, int, int]) -> dict[str, Any]:
    roles = {"teacher": (panel.teacher,), "student": panel.students, "control": panel.controls}
    role = next((role for role, members in roles.items() if network in members), "foreign")
    return {
        "label": network.label,
        "role": role,
        "run": network.run,
        "step": network.step,
        "model": network.identity["run"]["model"],
        "map": network.evidence(shape) or "gradient × input",
    }
