"""Many steps in one program are the same steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import assert_close, make_batch, make_objective, make_state, quick_jit, shapes_of

from effjax.steps import Shift, View, has_convolution, make_block, make_optimizer, make_train_step
from effjax.steps.axes import on_axis

STEPS, SIZE = 3, 4
DATASET = make_batch(size=20)
ROWS = np.random.default_rng(0).integers(0, 20, (STEPS, SIZE)).astype(np.int32)
BATCHES = {name: array[ROWS] for name, array in DATASET.items()}


@pytest.fixture(scope="module")
def singly():
    """A step, the state before, the state after three single steps, and their metrics stacked."""
    objective = make_objective("mlp_dropout", view=View(ops=(Shift(1),)))
    optimizer = make_optimizer("sgd", 0.1)
    state = start = make_state(objective, optimizer, {k: v[:SIZE] for k, v in DATASET.items()})
    step, metrics = make_train_step(objective, optimizer), []
    single = quick_jit(step)
    for i in range(STEPS):
        state, one = single(state, {name: array[i] for name, array in BATCHES.items()})
        metrics.append(one)
    return step, start, state, jax.tree.map(lambda *x: jnp.stack(x), *metrics)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize(("resident", "inputs"), [({}, BATCHES), (DATASET, {"row": ROWS})])
def test_a_block_equals_single_steps(singly, unroll, resident, inputs):
    step, start, expected, expected_metrics = singly
    state, metrics = quick_jit(make_block(step, unroll=unroll))(start, resident, inputs)
    assert state.step == STEPS
    assert_close(state, expected)
    assert_close(metrics, expected_metrics, atol=1e-5)
    assert metrics["loss"].total.shape == (STEPS,)


def convolve(x):
    return jax.lax.conv(x, jnp.ones((1, 1, 3, 3)), (1, 1), "SAME")


def dense(x):
    return x @ jnp.ones((x.shape[-1], 5))


WRAPPED = {
    "plain": lambda f: f,
    "jit": jax.jit,
    "remat": jax.checkpoint,
    "vmap": lambda f: jax.vmap(f),
    "grad": lambda f: jax.grad(lambda x: f(x).sum()),
    "scan": lambda f: lambda x: jax.lax.scan(lambda c, _: (c, f(x)), 0, length=2),
    "while": lambda f: lambda x: jax.lax.while_loop(lambda c: c < 1, lambda c: c + f(x).sum(), 0.0),
    "cond": lambda f: lambda x: jax.lax.cond(x.sum() > 0, lambda: f(x).sum(), lambda: 0.0),
    "deep": lambda f: jax.jit(lambda x: jax.lax.scan(lambda c, _: (c, jax.checkpoint(jax.jit(f))(x)), 0, length=2)),
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_convolutions_are_found_wherever_they_hide(wrap):
    x = jax.ShapeDtypeStruct((2, 1, 1, 6, 6), jnp.float32) if wrap == "vmap" else jnp.ones((1, 1, 6, 6))
    assert has_convolution(WRAPPED[wrap](convolve), x)
    assert not has_convolution(WRAPPED[wrap](dense), x)


def test_what_is_computed_on_other_platforms_does_not_count():
    x, plain = jnp.ones((1, 1, 6, 6)), jnp.tanh
    assert not has_convolution(lambda x: jax.lax.platform_dependent(x, cpu=plain, default=convolve), x)
    assert has_convolution(lambda x: jax.lax.platform_dependent(x, cpu=convolve, default=plain), x)
    assert has_convolution(lambda x: jax.lax.platform_dependent(x, cuda=plain, default=convolve), x)
    assert not has_convolution(lambda x: jax.lax.platform_dependent(x, cuda=convolve, default=plain), x)


@pytest.mark.parametrize(
    ("model", "accumulate", "expected"), [("mlp_dropout", 1, False), ("mlp_dropout", 2, False), ("scnn", 2, True)]
)
def test_convolutions_in_a_training_step(model, accumulate, expected):
    objective = make_objective(model)
    optimizer = make_optimizer("adamw", 1e-3)
    batch = make_batch()
    state = shapes_of(make_state(objective, optimizer, batch))
    assert has_convolution(make_train_step(objective, optimizer, accumulate=accumulate), state, batch) is expected


def test_convolutions_in_a_step_over_devices():
    objective = make_objective("resnet8", axis_name="devices")
    optimizer = make_optimizer("sgd", 0.1)
    batch = make_batch()
    step = make_train_step(objective, optimizer, axis_name="devices")
    assert has_convolution(on_axis(step, "devices"), shapes_of(make_state(objective, optimizer, batch)), batch)


def test_one_step_is_no_loop():
    """On CPU a convolution in a loop, even of one step and unrolled, takes 30 times as long."""

    def step(state, batch):
        return state + batch["x"].sum(), {"n": state}

    inputs = {"x": np.ones((1, 3), np.float32)}
    jaxpr = jax.make_jaxpr(make_block(step, unroll=False))(np.float32(0), {}, inputs)
    assert not any(eqn.primitive.name in ("scan", "while") for eqn in jaxpr.jaxpr.eqns)
    state, metrics = make_block(step, unroll=False)(np.float32(0), {}, inputs)
    assert state == 3
    assert metrics["n"].shape == (1,)
