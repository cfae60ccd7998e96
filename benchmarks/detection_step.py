"""The time of a detector's train step, inference and scoring in effjax; prints one line of JSON.

python -m benchmarks.detection_step --case=one_level --batch=16 --steps=30
"""

import argparse
import json
import statistics
import time

import jax
import numpy as np

from benchmarks.detection_cases import CASES, OBJECTS, Case
from benchmarks.in_turn import in_turn
from effjax import models
from effjax.allocator import keep_freed_memory, run_programs_here
from effjax.steps import (
    Objective,
    init_state,
    make_optimizer,
    make_predict,
    make_predictions,
    make_term,
    make_train_step,
)
from effjax.tasks import DETECTION
from effjax.tasks.detection import detections
from effjax.uncertainty import aggregate, entropy

_ROUNDS, _WARMUP = 5, 5


def random_batch(case: Case, batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    corner, side = rng.uniform(0, 0.7, (batch, OBJECTS, 2)), rng.uniform(0.05, 0.3, (batch, OBJECTS, 2))
    return {
        "image": rng.integers(0, 256, (batch, *case.shape), np.uint8),
        "id": np.arange(batch, dtype=np.int32),
        "objects/bbox": np.concatenate([corner, corner + side], -1).astype(np.float32),
        "objects/label": rng.integers(0, case.classes, (batch, OBJECTS)).astype(np.int32),
        "objects/valid": np.ones((batch, OBJECTS), bool),
    }


def objective_of(case: Case, convolutions: str) -> Objective:
    options = {"backbone": case.backbone, "stem": case.stem, "strides": case.strides}
    student = models.create("fcos", case.classes, **options, channels=case.channels, convs=case.convs)
    return Objective(
        student, {name: make_term(name) for name in ("quality_focal", "box_giou")}, convolutions=convolutions
    )


def train_seconds(objective: Objective, batch: dict[str, np.ndarray], steps: int):
    """Seconds of each step, and the state at the end."""
    optimizer = make_optimizer("sgd", 0.01)
    state = jax.jit(lambda seed: init_state(objective, optimizer, seed, batch))(np.uint32(0))
    step = jax.jit(make_train_step(objective, optimizer), donate_argnums=0)
    seconds, placed = [], jax.device_put(batch)
    for _ in range(_WARMUP + steps):
        start = time.perf_counter()
        state, metrics = step(state, placed)
        jax.block_until_ready(metrics)
        seconds.append(time.perf_counter() - start)
    return seconds[_WARMUP:], state


def main() -> None:
    keep_freed_memory()  # as the launchers have it
    run_programs_here()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--convolutions", choices=models.CONVOLUTIONS, default="xla")
    given = parser.parse_args()
    case = CASES[given.case]
    batch, objective = random_batch(case, given.batch), objective_of(case, given.convolutions)
    seconds, state = train_seconds(objective, batch, given.steps)
    variables, shown = {"params": state.params["student"], **state.model_state}, jax.device_put({
        name: batch[name] for name in ("image", "id")
    })  # fmt: skip
    predict = make_predict(objective.network)
    doubted = make_predictions(objective.network, DETECTION.items, "single")

    @jax.jit
    def scored(variables, batch):
        found = doubted(variables, batch)
        probs = found["probs"]
        each = entropy(probs.reshape(probs.shape[0], -1, probs.shape[-1])).reshape(found["present"].shape)
        return aggregate(each, found["present"], "sum")

    # Of what nothing trains any more: batch normalisation folded once, sums and ReLU in the convolutions.
    graph = models.deploy(objective.network.module, variables, case.shape)
    folded = jax.jit(graph.fold)(variables)
    if given.convolutions == "onednn":
        graph, folded = models.laid_out(graph, folded, given.batch)

    @jax.jit
    def deployed(folded, batch):
        with models.computed_by(given.convolutions):
            outputs = graph.apply(folded, *objective.network.reads(objective.network.view.see(batch)))
        return detections(outputs.preds)

    programs = {
        "predicted": jax.jit(predict),
        "detected": jax.jit(lambda variables, batch: detections(predict(variables, batch))),
        "scored": scored,
    }
    timed = {
        name: lambda program=program: jax.block_until_ready(program(variables, shown))
        for name, program in programs.items()
    }
    timed["deployed"] = lambda: jax.block_until_ready(deployed(folded, shown))
    times = in_turn(timed, _ROUNDS)
    report = {
        "case": given.case,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "parameters": models.count_params(state.params["student"]),
        "places": programs["predicted"](variables, shown)["logits"].shape[1],
        "train": statistics.median(seconds),
        "infer": statistics.median(times["detected"]),
        "deploy": statistics.median(times["deployed"]),
        **times,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
