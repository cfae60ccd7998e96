"""Optimisers and schedules by name: hand-computed values, what decays, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from effjax.errors import UserError
from effjax.steps import make_optimizer, make_schedule, restart

PARAMS = {
    "student": {
        "conv1": {"kernel": jnp.array([1.0, -2.0]), "bias": jnp.array([3.0])},
        "norm1": {"scale": jnp.array([4.0]), "bias": jnp.array([5.0])},
    }
}
ZERO = jax.tree.map(jnp.zeros_like, PARAMS)


def updates(optimizer, gradients=ZERO, steps=1):
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        change, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, change)
    return params


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_decay_acts_on_kernels_only(name):
    after = updates(make_optimizer(name, 0.1, weight_decay=0.5))["student"]
    np.testing.assert_allclose(after["conv1"]["kernel"], [0.95, -1.9], rtol=1e-6)  # p - 0.1 · 0.5 · p
    for module, leaf in (("conv1", "bias"), ("norm1", "scale"), ("norm1", "bias")):
        np.testing.assert_array_equal(after[module][leaf], PARAMS["student"][module][leaf])


def test_lamb_decays_kernels_only():
    after = updates(make_optimizer("lamb", 0.1, weight_decay=0.5))["student"]
    np.testing.assert_allclose(after["conv1"]["kernel"], [0.9, -1.8], rtol=1e-5)  # scaled to the leaf's own norm
    np.testing.assert_array_equal(after["norm1"]["scale"], [4.0])


def test_what_decays_can_be_chosen():
    after = updates(make_optimizer("sgd", 0.1, weight_decay=0.5, decay_mask=".*/norm1/.*"))["student"]
    np.testing.assert_array_equal(after["conv1"]["kernel"], PARAMS["student"]["conv1"]["kernel"])
    np.testing.assert_allclose(after["norm1"]["scale"], [3.8], rtol=1e-6)
    with pytest.raises(UserError, match=r"optimizer\.decay_mask='kernels'"):
        updates(make_optimizer("sgd", 0.1, weight_decay=0.5, decay_mask="kernels"))


def test_sgd_puts_the_decay_into_the_momentum():
    gradient = jax.tree.map(jnp.ones_like, PARAMS)
    p, velocity = np.array([1.0, -2.0]), 0.0
    for _ in range(3):
        velocity = 0.9 * velocity + (1 + 0.01 * p)
        p = p - 0.1 * velocity
    after = updates(make_optimizer("sgd", 0.1, momentum=0.9, weight_decay=0.01), gradient, steps=3)
    np.testing.assert_allclose(after["student"]["conv1"]["kernel"], p, rtol=1e-6)


def test_adamw_keeps_the_decay_out_of_the_moments():
    gradient = jax.tree.map(lambda x: jnp.full_like(x, 0.3), PARAMS)
    p, m, v = np.array([1.0, -2.0]), 0.0, 0.0
    for t in (1, 2, 3):
        m, v = 0.8 * m + 0.2 * 0.3, 0.95 * v + 0.05 * 0.09
        p = p - 0.1 * (m / (1 - 0.8**t) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8) + 0.5 * p)
    after = updates(make_optimizer("adamw", 0.1, b1=0.8, b2=0.95, weight_decay=0.5), gradient, steps=3)
    np.testing.assert_allclose(after["student"]["conv1"]["kernel"], p, rtol=1e-5)


def test_clipping_comes_before_the_momentum():
    gradient = jax.tree.map(jnp.ones_like, PARAMS)  # norm √5
    after = updates(make_optimizer("sgd", 1.0, momentum=0.0, clip_norm=1.0), gradient)
    np.testing.assert_allclose(after["student"]["norm1"]["scale"], [4 - 1 / np.sqrt(5)], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "values"),
    [
        ("constant", {}, {0: 2, 5: 2, 10: 2}),
        ("constant", {"warmup": 0.5}, {0: 0, 1: 0.4, 4: 1.6, 5: 2, 10: 2}),
        ("cosine", {}, {0: 2, 5: 1, 10: 0, 2: 1 + np.cos(0.2 * np.pi)}),
        ("cosine", {"end": 0.2}, {0: 2, 5: 1.1, 10: 0.2}),
        ("cosine", {"warmup": 0.2}, {0: 0, 1: 1, 2: 2, 6: 1, 10: 0}),
        ("linear", {"end": 1.0}, {0: 2, 5: 1.5, 10: 1, 20: 1}),
        ("linear", {"warmup": 0.2, "end": 0.4}, {1: 1, 2: 2, 6: 1.2, 10: 0.4}),
        ("step", {"boundaries": (0.5, 0.8)}, {0: 2, 4: 2, 5: 0.2, 7: 0.2, 8: 0.02, 9: 0.02}),
        ("step", {"boundaries": (0.5,), "factor": 0.5, "warmup": 0.2}, {1: 1, 2: 2, 4: 2, 5: 1, 9: 1}),
        ("step", {"boundaries": (0.1,), "warmup": 0.4}, {2: 1, 3: 1.5, 4: 0.2}),
        ("step", {"boundaries": (0.5, 0.52)}, {4: 2, 5: 0.02}),  # both fall on step 5: both act
    ],
)
def test_schedules_by_hand(name, options, values):
    schedule = make_schedule(name, 2.0, 10, **options)
    for step, value in values.items():
        np.testing.assert_allclose(schedule(step), value, atol=1e-6, err_msg=f"step {step}")
        np.testing.assert_allclose(jax.jit(schedule)(jnp.int32(step)), value, atol=1e-6)


@pytest.mark.parametrize("name", ["constant", "cosine", "linear", "step"])
def test_a_peak_of_zero_and_a_run_of_one_step(name):
    assert make_schedule(name, 0.0, 10, warmup=0.1)(3) == 0
    assert np.isfinite(make_schedule(name, 1.0, 1, warmup=0.9)(0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_optimizer("sdg", 0.1), r"optimizer\.name='sdg'; allowed: .* \(did you mean 'sgd'\?\)"),
        (
            lambda: make_optimizer("sgd", 0.1, momentun=1),
            r"optimizer\.momentun: .*\(did you mean 'momentum'\?\)",
        ),
        (
            lambda: make_optimizer("adam", 0.1, weight_decay=1),
            r"optimizer\.weight_decay: adam has no such option",
        ),
        (
            lambda: make_optimizer("sgd", 0.1, clipnorm=1),
            r"optimizer\.clipnorm: .*\(did you mean 'clip_norm'\?\)",
        ),
        (lambda: make_schedule("cosin", 1.0, 10), r"schedule\.name='cosin'; .*\(did you mean 'cosine'\?\)"),
        (
            lambda: make_schedule("cosine", 1.0, 10, warm_up=0.1),
            r"schedule\.warm_up: .*\(did you mean 'warmup'\?\)",
        ),
        (lambda: make_schedule("cosine", 1.0, 10, warmup=5), r"schedule\.warmup=5: "),
        (
            lambda: make_schedule("step", 1.0, 10, boundaries=(0.5, 150)),
            r"schedule\.boundaries=\(0\.5, 150\): ",
        ),
    ],
)
def test_what_is_unknown_is_named_with_the_nearest(call, message):
    with pytest.raises(UserError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_schedule_waits_until_it_begins():
    schedule = make_schedule("linear", 4.0, 100, begin=0.2, end=0.0)
    np.testing.assert_allclose([schedule(t) for t in (0, 20, 60, 100)], [4.0, 4.0, 2.0, 0.0], atol=1e-6)
    with pytest.raises(UserError, match=r"schedule\.begin=1\.0"):
        make_schedule("linear", 4.0, 100, begin=1.0)


def test_warm_ups_by_stage():
    schedule = make_schedule("linear", 1.0, 10, warmups=((0.0, 0.2), (0.5, 0.8)))
    one, other = (make_schedule("linear", 1.0, 10, warmup=share) for share in (0.2, 0.8))
    assert [float(schedule(t)) for t in range(11)] == [float((one if t < 5 else other)(t)) for t in range(11)]
    for wrong in (((0.1, 0.2),), ((0.0, 0.2), (0.0, 0.3)), ((0.0, 0.2), (1.0, 0.3))):
        with pytest.raises(UserError, match=r"schedule.warmups=.*from 0 on, rising"):
            make_schedule("linear", 1.0, 10, warmups=wrong)
    with pytest.raises(UserError, match=r"schedule.warmup=1.0"):
        make_schedule("linear", 1.0, 10, warmups=((0.0, 1.0),))


def test_a_restarted_optimiser_forgets_all_but_its_schedule():
    params = {"student": {"kernel": np.ones(2, np.float32)}}
    rate = make_schedule("linear", 1.0, 10)
    optimizer = make_optimizer("adam", rate)
    state = optimizer.init(params)
    for _ in range(4):
        _, state = optimizer.update(params, state, params)
    fresh = restart(optimizer, state, params)
    assert jax.tree.structure(fresh) == jax.tree.structure(state)
    updates, _ = optimizer.update(params, fresh, params)
    # Adam's first step is the rate itself, whatever the gradient; the rate is that of step 4.
    np.testing.assert_allclose(updates["student"]["kernel"], -0.6, rtol=1e-5)
