"""Runs of a second that the tests of the loop share: a small network on a few images in memory."""

import jax
import numpy as np
import optax

from effjax import models
from effjax.curricula import stages
from effjax.data.feeds import ResidentFeed
from effjax.models import Outputs
from effjax.runtime import Evaluator, Job, jit_backend
from effjax.steps import Objective, View, init_state, make_eval_step, make_term
from effjax.steps.settings import apply_settings
from effjax.tasks import CLASSIFICATION

CLASSES, BATCH, STEPS = 2, 8, 24


def answer(frozen, batch):
    """A teacher that always says the same."""
    return Outputs(jax.numpy.broadcast_to(frozen, (len(batch["id"]), CLASSES)), {})


def make_task(
    source,
    *,
    terms=("ce",),
    plans=None,
    steps=STEPS,
    feed=None,
    validate=True,
    backend=None,
    evaluation=None,
    **options,
) -> Job:
    """A job on ``source``; ``terms`` are names, or a mapping to terms; ``evaluation`` is a step."""
    made = terms if isinstance(terms, dict) else {name: make_term(name) for name in terms}
    model, view = models.create("mlp", CLASSES, widths=(4,)), View()
    teachers = {"teacher": answer} if any(term.teachers for term in made.values()) else {}
    backend = backend or jit_backend()
    measured = {"metrics": CLASSIFICATION.metrics, "outcome": CLASSIFICATION.outcome}
    objective = Objective(model, made, teachers, view, **measured)

    def step_at(settings):
        network = apply_settings(objective, settings).network
        return evaluation or make_eval_step(network, CLASSIFICATION.metrics, axis_name=backend.axis_name)

    def batches():
        rows = [source[row] for row in range(BATCH)]
        return [{**{key: np.stack([row[key] for row in rows]) for key in rows[0]}, "mask": np.ones(BATCH, bool)}]

    return Job(
        objective=objective,
        optimizer=optax.adam(1e-2),
        plan=stages(steps, plans or {"trainable": [[0.0, ".*"]]}),
        feed=feed or ResidentFeed({"train": source}, BATCH),
        backend=backend,
        batch_size=BATCH,
        evaluator=Evaluator(step_at, backend, batches, keep=True) if validate else None,
        **{"evaluate_every": 8, "checkpoint_every": 4, "log_every": 3, "steps_per_dispatch": 2, **options},
    )


def start(job: Job, seed: int = 0):
    """The state before the first step, on the host."""

    def init(seed):
        return init_state(job.objective, job.optimizer, seed, job.feed.example())

    init = jax.jit(init, compiler_options={"xla_backend_optimization_level": 0})
    return jax.tree.map(np.asarray, init(np.uint32(seed)))
