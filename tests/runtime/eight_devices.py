"""Run by test_layouts.py in a process that has eight devices: what travels between them, and what each holds."""

import collections
import re

import jax
import numpy as np

from effjax import models
from effjax.models.normalised import Parts
from effjax.runtime import jit_backend
from effjax.runtime.layouts import WHOLE, Layout
from effjax.steps import Objective, init_state, make_optimizer, make_term, make_train_step
from effjax.tasks import CLASSIFICATION

CLASSES, BATCH = 10, 32
SHARED = Layout((("(params|ema|opt_state)/.*", "longest"),))
# Sums in another order.
TOLERANCE = 1e-5

rng = np.random.default_rng(0)
batch = {
    "image": rng.integers(0, 256, (BATCH, 16, 16, 3), np.uint8),
    "label": rng.integers(0, CLASSES, BATCH).astype(np.int32),
    "id": np.arange(BATCH, dtype=np.int32),
}
optimizer = make_optimizer("sgd", 1e-3, momentum=0.9)  # BatchNorm of few images magnifies rounding errors


def compiled(backend, axis_name=None, layout=WHOLE):
    """A step on these devices, and the state before it."""
    student = models.create("resnet8", CLASSES, width=2.0, axis_name=axis_name)
    objective = Objective(student, {"ce": make_term("ce")}, metrics=CLASSIFICATION.metrics)
    state = jax.tree.map(np.asarray, init_state(objective, optimizer, 0, batch, ema=True))
    step = make_train_step(objective, optimizer, ema_decay=0.9, devices=backend.devices_seen)
    placed = backend.shard(batch, axis=0)
    backend.check_layout(layout, state)

    def function(state, _, batch):
        return step(state, batch)

    program = backend.compile(function, state, {}, placed, axis=0, donate=True, layout=layout)
    return program, backend.place(state, layout), placed


def messages(program) -> collections.Counter:
    kinds = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
    return collections.Counter(re.findall(rf" ({kinds})(?:-start)?\(", program.as_text()))


def trained(backend, program, state, placed, steps=3):
    for _ in range(steps):
        state, metrics = program(state, {}, placed)
    return state, backend.fetch((state, metrics))


def held(state) -> int:
    """Bytes of the state on the first device."""
    return sum(array.addressable_shards[0].data.nbytes for array in jax.tree.leaves(state))


def main() -> None:
    eight, one = jit_backend(), jit_backend(jax.devices()[:1])
    assert len(eight.devices) == 8

    alone = messages(compiled(eight, Parts(8))[0])
    assert alone == {"all-reduce": 1}, f"each device normalises its own examples: {alone}"
    together = messages(compiled(eight)[0])
    assert together["all-reduce"] > 1, "the control: statistics of the whole batch travel"

    _, expected = trained(one, *compiled(one))
    whole, found = trained(eight, *compiled(eight))
    program, state, placed = compiled(eight, layout=SHARED)
    before = held(state)
    state, in_parts = trained(eight, program, state, placed)
    for other in (found, in_parts):
        for a, b in zip(jax.tree.leaves(other), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, atol=TOLERANCE * max(1.0, float(np.abs(b).max())))
    assert held(state) == before < 0.2 * held(whole), (before, held(state), held(whole))
    programs = [compiled(eight, layout=layout)[0] for layout in (WHOLE, SHARED)]
    arguments = [one.memory_analysis().argument_size_in_bytes for one in programs]
    assert arguments[1] < 0.25 * arguments[0], arguments
    put_together = eight.whole(state.eval_variables)
    assert all(array.is_fully_replicated for array in jax.tree.leaves(put_together))
    print(alone, together, messages(program), arguments)


main()
