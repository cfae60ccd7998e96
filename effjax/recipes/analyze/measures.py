"""The measures, each from what the networks have answered."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

from effjax import analysis, losses, metrics
from effjax.recipes.analyze.networks import Panel, over_batches
from effjax.recipes.analyze.rows import closer_than_controls, measure, whole_set_measure
from effjax.recipes.analyze.views import TRANSFORMS, random_signs

_log = logging.getLogger("effjax")

#: Logits ``[N, K]`` by network.
Answers: TypeAlias = Mapping[str, np.ndarray]
#: From a change of the images and the name of its draws to all networks' answers.
Ask: TypeAlias = Callable[..., Answers]


def invariance_measures(panel: Panel, clean: Answers, ask: Ask) -> list[dict[str, Any]]:
    """How often an answer outlives a change of the image that leaves its class as it is."""
    measures = []
    for name, change in TRANSFORMS.items():
        changed = ask(change, name)
        same = {label: np.asarray(metrics.agreement(clean[label], changed[label])) for label in clean}
        measures.append(measure("invariance", f"same answer after a change of {name}", "share", panel, same))
    return measures


def domain_measures(panel: Panel, domains: Mapping[str, Answers]) -> list[dict[str, Any]]:
    """How often the answer is the teacher's, right or wrong, by domain."""
    return [
        measure("domains", f"agreement on {name}", "share", panel, _agreement(panel, logits))
        for name, logits in domains.items()
    ]


def _agreement(panel: Panel, logits: Answers) -> dict[str, np.ndarray]:
    teacher = logits[panel.teacher.label]
    found = {label: np.asarray(metrics.agreement(x, teacher)) for label, x in logits.items()}
    return {label: x for label, x in found.items() if label != panel.teacher.label}


def answer_measures(panel: Panel, logits: Answers, labels: np.ndarray):
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
    bins = {label: metrics.CalibrationBins.empty().update(jax.nn.softmax(x), labels) for label, x in logits.items()}
    errors = {label: float(state.compute()) for label, state in bins.items()}
    measures.append(whole_set_measure("answers", "expected calibration error", "ece", panel, errors))
    reliability = {
        label: {name: np.asarray(sums).tolist() for name, sums in state._asdict().items()}
        for label, state in bins.items()
    }
    return measures, reliability


def look(panel: Panel, batch: Mapping[str, np.ndarray], size: int):
    """The networks' maps and their cosines with the teacher's; and the alignment of every layer with its layers."""
    maps, grams = {}, {}
    for network in (panel.teacher, *panel.students, *panel.controls):
        started = time.monotonic()

        def inside(images, labels, network=network):
            found, gram = network.look(np.asarray(images, np.float32) / 255.0, labels)
            return np.asarray(found), {layer: np.asarray(x) for layer, x in gram.items()}

        looks = over_batches(inside, size, batch["image"], batch["label"])
        maps[network.label] = np.concatenate([found for found, _ in looks])[: len(batch["label"])]
        whole = len(batch["label"]) // size  # a batch that was filled up shows an example twice
        grams[network.label] = [gram for _, gram in looks[:whole]]
        _log.info("layers and maps of %s: %.1f s", network.label, time.monotonic() - started)
    teacher = panel.teacher.label
    cosines = {label: np.asarray(analysis.map_similarity(maps[teacher], x)) for label, x in maps.items()}
    cka = {label: _alignments(grams[teacher], own) for label, own in grams.items() if label != teacher}
    return maps, cosines, cka


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


def inner_measures(panel: Panel, cosines: Mapping[str, np.ndarray], cka: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whether the last layers and the places of the evidence are the teacher's."""
    students = {label: x for label, x in cosines.items() if label != panel.teacher.label}
    last = {label: matrix["values"][-1][-1] for label, matrix in cka.items()}
    return [
        whole_set_measure("layers", "alignment (CKA) of the last layers", "cka", panel, last),
        measure("localisation", "cosine of the maps with the teacher's", "cosine", panel, students),
        closer_than_controls("localisation", "map more like the teacher's than the control's is", panel, cosines),
    ]


def attack_measures(panel: Panel, clean: Answers, ask: Ask, epsilon: float) -> list[dict[str, Any]]:
    """Whether images that turn the teacher's answer turn the others', beside random changes and a foreign attack."""

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
        measures.append(measure("attack", name, "share", panel, by_foreign, without=foreign.label, keep=turned))
    return measures
