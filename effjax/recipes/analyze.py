"""What a student took over from its teacher: every measure beside that of networks that had no teacher."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from effjax import analysis, losses, metrics
from effjax.data.base import Source, global_ids
from effjax.data.pipeline import stack
from effjax.errors import UserError
from effjax.recipes.analyze_networks import Panel, open_panel, open_source, over_batches
from effjax.recipes.analyze_rows import closer_than_controls, measure, whole_set_measure
from effjax.recipes.analyze_views import DOMAINS, TRANSFORMS, answers, random_signs, unchanged, weakest_attack
from effjax.recipes.runs import check_workdir, write_json
from effjax.reports.analysis import Evidence, write_analysis
from effjax.reports.provenance import provenance

_log = logging.getLogger("effjax")

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
        _log.info("the report: %s", Path(out) / REPORT_FILE)
    return findings


def _read(source: Source, max_examples: int, seed: int) -> dict[str, np.ndarray]:
    """Images, labels and ids of the source, or of a random part of it, in order."""
    count = min(len(source), max_examples)
    if count < 8:
        raise UserError(f"{count} examples of {source.info.name!r} are too few to compare networks on: 8 at least")
    rows = np.sort(np.random.default_rng(seed).permutation(len(source))[:count])
    if source.info.num_examples != len(global_ids(source)):
        raise AssertionError("a source knows its length")
    return stack([source[int(row)] for row in rows])


def _examine(
    panel: Panel, batch: Mapping[str, np.ndarray], unseen: Mapping[str, Mapping[str, np.ndarray]], epsilon, seed
) -> tuple[dict[str, Any], Evidence]:
    size = min(_BATCH, len(batch["label"]))

    def ask(change, purpose, of=batch):
        return answers(panel.all, of["image"], of["id"], change, seed, purpose, min(size, len(of["label"])))

    clean = ask(unchanged, "unchanged")
    measures, reliability = _answer_measures(panel, clean, batch["label"])
    maps, cka = _look(panel, batch, size)
    measures += _inner_measures(panel, maps["cosine"], cka)
    epsilon = epsilon or weakest_attack(panel.teacher, batch["image"], size)
    measures += _attack_measures(panel, clean, ask, epsilon)
    for name, change in TRANSFORMS.items():
        changed = ask(change, name)
        same = {label: np.asarray(metrics.agreement(clean[label], changed[label])) for label in clean}
        measures.append(measure("invariance", f"same answer after a change of {name}", "share", panel, same))
    domains = {name: ask(change, name) for name, change in DOMAINS.items()}
    domains |= {name: ask(unchanged, name, of) for name, of in unseen.items()}
    for name, logits in domains.items():
        measures.append(measure("domains", f"agreement on {name} images", "share", panel, _agreement(panel, logits)))
    shape = batch["image"].shape[1:]
    findings = {
        "examples": len(batch["label"]),
        "epsilon": epsilon,
        "networks": [_describe(panel, network, shape) for network in panel.all],
        "measures": measures,
        "reliability": reliability,
        "cka": cka,
        "zero_maps": {label: int((x.max((1, 2)) == 0).sum()) for label, x in maps["map"].items()},
    }
    shown = np.linspace(0, len(batch["label"]) - 1, min(_SHOWN, len(batch["label"]))).astype(int)
    evidence = Evidence(
        images=batch["image"][shown],
        labels=batch["label"][shown],
        maps={label: x[shown] for label, x in maps["map"].items()},
        cosines={label: x[shown] for label, x in maps["cosine"].items()},
    )
    return findings, evidence


def _describe(panel: Panel, network, shape) -> dict[str, Any]:
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


def _agreement(panel: Panel, logits: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    teacher = logits[panel.teacher.label]
    found = {label: np.asarray(metrics.agreement(x, teacher)) for label, x in logits.items()}
    return {label: x for label, x in found.items() if label != panel.teacher.label}


def _answer_measures(panel: Panel, logits: Mapping[str, np.ndarray], labels: np.ndarray):
    """Accuracy, fidelity, calibration; and what the reliability diagrams are drawn from."""
    right = {label: np.asarray(metrics.top_k_accuracy(x, labels)) for label, x in logits.items()}
    measures = [
        measure("answers", "accuracy", "share", panel, right),
        measure("answers", "agreement with the teacher", "share", panel, _agreement(panel, logits)),
    ]
    teacher = logits[panel.teacher.label]
    for temperature in (1.0, 4.0):
        divergence = {
            label: np.asarray(losses.soft_target_kl(x, teacher, temperature=temperature)) / temperature**2
            for label, x in logits.items()
            if label != panel.teacher.label
        }
        name = f"KL from the teacher at temperature {temperature:.0f}"
        measures.append(measure("answers", name, "nats", panel, divergence))
    bins = {
        label: metrics.CalibrationBins.empty().update(jax.nn.softmax(x), labels) for label, x in logits.items()
    }
    errors = {label: float(state.compute()) for label, state in bins.items()}
    measures.append(whole_set_measure("answers", "expected calibration error", "ece", panel, errors))
    reliability = {
        label: {name: np.asarray(sums).tolist() for name, sums in state._asdict().items()}
        for label, state in bins.items()
    }
    return measures, reliability


def _look(panel: Panel, batch: Mapping[str, np.ndarray], size: int):
    """The networks' maps and their cosines with the teacher's; and the alignment of every layer with its layers."""
    maps, grams = {}, {}
    for network in (panel.teacher, *panel.students, *panel.controls):
        started = time.monotonic()

        def look(images, labels, network=network):
            found, gram = network.look(np.asarray(images, np.float32) / 255.0, labels)
            return np.asarray(found), {layer: np.asarray(x) for layer, x in gram.items()}

        looks = over_batches(look, size, batch["image"], batch["label"])
        maps[network.label] = np.concatenate([found for found, _ in looks])[: len(batch["label"])]
        whole = len(batch["label"]) // size  # a batch that was filled up shows an example twice
        grams[network.label] = [gram for _, gram in looks[:whole]]
        _log.info("layers and maps of %s: %.1f s", network.label, time.monotonic() - started)
    teacher = panel.teacher.label
    cosines = {label: np.asarray(analysis.map_similarity(maps[teacher], x)) for label, x in maps.items()}
    cka = {label: _alignments(grams[teacher], own) for label, own in grams.items() if label != teacher}
    return {"map": maps, "cosine": cosines}, cka


def _alignments(teacher: Sequence[Mapping[str, np.ndarray]], own: Sequence[Mapping[str, np.ndarray]]):
    """By layer of the teacher (rows) and of the other (columns)."""
    update = jax.jit(analysis.MinibatchCka.update)

    def aligned(row: str, column: str) -> float:
        state = analysis.MinibatchCka.empty()
        for theirs, ours in zip(teacher, own, strict=True):
            state = update(state, theirs[row], ours[column])
        return float(state.compute())

    values = [[aligned(row, column) for column in own[0]] for row in teacher[0]]
    return {"teacher_layers": list(teacher[0]), "layers": list(own[0]), "values": values}


def _inner_measures(panel: Panel, cosines: Mapping[str, np.ndarray], cka: Mapping[str, Any]) -> list[dict[str, Any]]:
    students = {label: x for label, x in cosines.items() if label != panel.teacher.label}
    last = {label: matrix["values"][-1][-1] for label, matrix in cka.items()}
    return [
        whole_set_measure("layers", "alignment (CKA) of the last layers", "cka", panel, last),
        measure("localisation", "cosine of the maps with the teacher's", "cosine", panel, students),
        closer_than_controls("localisation", "map more like the teacher's than the control's is", panel, cosines),
    ]


def _attack_measures(panel: Panel, clean: Mapping[str, np.ndarray], ask, epsilon: float) -> list[dict[str, Any]]:
    def fooled(change, purpose, attacker=None, on=None):
        """Whose answer is another than before; on the images on which the attacker's own is."""
        changed = ask(change, purpose)
        other = {label: ~np.asarray(metrics.agreement(clean[label], changed[label])) for label in clean}
        return other, (other[attacker.label] if attacker else on)

    by_teacher, turned = fooled(lambda _, x: panel.teacher.attack(x, epsilon), "attack of the teacher", panel.teacher)
    measures = [measure("attack", "fooled by the teacher's attack", "share", panel, by_teacher, keep=turned)]
    by_chance, _ = fooled(lambda keys, x: random_signs(keys, x, epsilon=epsilon), "random signs", on=turned)
    name = "fooled by random changes of that size, same images"
    measures.append(measure("attack", name, "share", panel, by_chance, keep=turned))
    if panel.foreign is not None:
        foreign = panel.foreign
        by_foreign, turned = fooled(lambda _, x: foreign.attack(x, epsilon), "attack of the foreign network", foreign)
        name = f"fooled by the attack of a foreign network ({foreign.label})"
        measures.append(
            measure("attack", name, "share", panel, by_foreign, without=foreign.label, keep=turned)
        )
    return measures
