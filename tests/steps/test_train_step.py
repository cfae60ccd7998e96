"""The training step against the same thing written by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import GRADIENT_ONLY, assert_close, gradient_step, make_batch, make_objective, make_state, quick_jit

from effjax.errors import UserError
from effjax.metrics import Mean
from effjax.steps import Flip, View, make_optimizer, make_schedule, make_term, make_train_step

BATCH = make_batch()


def by_hand(params, frozen=None, *, weights=(1.0, 0.0), temperature=4.0):
    """The loss of the toy MLP, without a line of effjax."""
    x = BATCH["image"].reshape(8, -1) / jnp.float32(255)
    net = params["student"]
    hidden = jnp.maximum(x @ net["dense1"]["kernel"] + net["dense1"]["bias"], 0)
    logits = hidden @ net["classifier"]["kernel"] + net["classifier"]["bias"]
    loss = weights[0] * optax.softmax_cross_entropy_with_integer_labels(logits, BATCH["label"]).mean()
    if weights[1]:
        target = jax.nn.softmax(x @ frozen / temperature)
        kl = (target * (jnp.log(target) - jax.nn.log_softmax(logits / temperature))).sum(-1)
        loss = loss + weights[1] * temperature**2 * kl.mean()
    return loss


def plain_loop(params, optimizer, steps):
    opt_state = optimizer.init(params)
    for _ in range(steps):
        updates, opt_state = optimizer.update(jax.grad(by_hand)(params), opt_state, params)
        params = optax.apply_updates(params, updates)
    return params


def run(objective, optimizer, steps, **options):
    state = make_state(objective, optimizer, BATCH, ema="ema_decay" in options)
    step, metrics = quick_jit(make_train_step(objective, optimizer, **options)), []
    states = [state]
    for _ in range(steps):
        state, one = step(state, BATCH)
        states.append(state)
        metrics.append(one)
    return states, metrics


def test_gradient_and_metrics_equal_those_by_hand():
    objective = make_objective()
    state = make_state(objective, GRADIENT_ONLY, BATCH)
    new, metrics = gradient_step(objective)(state, BATCH)
    loss, gradient = jax.value_and_grad(by_hand)(state.params)
    assert_close(new.opt_state.trace, gradient)
    assert set(metrics) == {"loss", "loss/ce", "accuracy", "grad_norm"}
    np.testing.assert_allclose(metrics["loss"].compute(), loss, rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"].compute(), optax.tree.norm(gradient), rtol=1e-5)
    assert [metrics[name].count for name in ("loss", "loss/ce", "accuracy", "grad_norm")] == [8, 8, 8, 1]
    assert new.step == state.step + 1
    assert new.seed == state.seed


def test_gradient_equals_finite_differences():
    objective = make_objective(terms=("ce", "soft_target"), activation="tanh")  # no kinks
    state = make_state(objective, GRADIENT_ONLY, BATCH)
    new, _ = gradient_step(objective)(state, BATCH)
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), state.params)
    slope = optax.tree.vdot(new.opt_state.trace, direction)

    @quick_jit
    def loss_at(t):
        params = jax.tree.map(lambda p, d: p + t * d, state.params, direction)
        return objective.evaluate(params, {}, state.frozen, BATCH, state.seed, state.step)[0]

    np.testing.assert_allclose(slope, (loss_at(1e-3) - loss_at(-1e-3)) / 2e-3, rtol=5e-3)


def test_weighted_terms_equal_those_by_hand():
    terms = {
        "ce": make_term("ce", weight=0.1),
        "soft_target": make_term("soft_target", weight=0.9, temperature=2.0),
    }
    objective = make_objective(terms=terms)
    state = make_state(objective, GRADIENT_ONLY, BATCH)
    new, metrics = gradient_step(objective)(state, BATCH)
    matrix = state.frozen["teacher"]
    loss, gradient = jax.value_and_grad(by_hand)(state.params, matrix, weights=(0.1, 0.9), temperature=2.0)
    assert_close(new.opt_state.trace, gradient)
    np.testing.assert_allclose(metrics["loss"].compute(), loss, rtol=1e-5)
    ce, kl = metrics["loss/ce"].compute(), metrics["loss/soft_target"].compute()  # unweighted
    np.testing.assert_allclose(ce, by_hand(state.params), rtol=1e-5)
    np.testing.assert_allclose(0.1 * ce + 0.9 * kl, loss, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "plain"),
    [
        ("sgd", {"momentum": 0.9}, optax.sgd(0.1, 0.9)),
        ("sgd", {"momentum": 0.9, "nesterov": True}, optax.sgd(0.1, 0.9, nesterov=True)),
        ("sgd", {"momentum": 0.0}, optax.sgd(0.1)),
        ("adam", {}, optax.adam(0.1)),
        ("adamw", {"weight_decay": 0.0}, optax.adamw(0.1, weight_decay=0.0)),
    ],
)
def test_three_steps_equal_optax_used_plainly(name, options, plain):
    states, _ = run(make_objective(), make_optimizer(name, 0.1, **options), 3)
    assert_close(states[-1].params, plain_loop(states[0].params, plain, 3), atol=1e-5)


def test_learning_rate_follows_the_global_step():
    schedule = make_schedule("step", 1.0, 4, boundaries=(0.5,), factor=0.0)
    states, _ = run(make_objective(), make_optimizer("sgd", schedule, momentum=0.0), 3)
    assert np.abs(
        states[2].params["student"]["dense1"]["kernel"] - states[1].params["student"]["dense1"]["kernel"]
    ).max()
    assert_close(states[3].params, states[2].params, atol=0)  # the rate is 0 from step 2 on


@pytest.mark.parametrize(("clip", "expected"), [(0.05, 0.05), (1e3, None)])
def test_clipping_cuts_the_global_norm(clip, expected):
    states, metrics = run(make_objective(), make_optimizer("sgd", 1.0, momentum=0.0, clip_norm=clip), 1)
    moved = optax.tree.norm(jax.tree.map(jnp.subtract, states[0].params, states[1].params))
    before = metrics[0]["grad_norm"].compute()
    assert before > 0.1  # the metric is of the gradient before it is cut
    np.testing.assert_allclose(moved, expected or before, rtol=1e-4)


def test_moving_average_by_hand():
    states, _ = run(make_objective(), make_optimizer("sgd", 0.5), 3, ema_decay=0.75)
    expected = states[0].params
    assert_close(states[0].ema, expected, atol=0)
    for state in states[1:]:
        expected = jax.tree.map(lambda e, p: 0.75 * e + 0.25 * p, expected, state.params)
        assert_close(state.ema, expected)
    np.testing.assert_array_equal(
        states[-1].eval_variables["params"]["dense1"]["kernel"], states[-1].ema["student"]["dense1"]["kernel"]
    )


def test_without_an_average_evaluation_takes_the_parameters():
    states, _ = run(make_objective(), make_optimizer("sgd", 0.5), 1)
    assert states[-1].ema == ()
    assert states[-1].eval_variables["params"] is states[-1].params["student"]


@pytest.mark.parametrize(("model", "parts"), [("mlp_dropout", 4), ("scnn", 2)])
def test_accumulated_parts_are_the_whole_batch(model, parts):
    objective = make_objective(model, terms=("ce", "soft_target"), view=View(ops=(Flip(),)))
    state = make_state(objective, GRADIENT_ONLY, BATCH)
    whole, metrics = gradient_step(objective)(state, BATCH)
    cut, cut_metrics = gradient_step(objective, accumulate=parts)(state, BATCH)
    assert_close(cut.opt_state, whole.opt_state)
    assert_close(cut_metrics, metrics, atol=1e-5)
    assert cut_metrics["accuracy"] == metrics["accuracy"]


def test_an_objective_may_say_how_many_parts():
    plain = make_objective("resnet8")  # whose batch normalisation sees the parts
    state = make_state(plain, GRADIENT_ONLY, BATCH)
    whole = gradient_step(plain)(state, BATCH)[0].opt_state
    own = gradient_step(dataclasses.replace(plain, accumulate=2))(state, BATCH)
    told = gradient_step(plain, accumulate=2)(state, BATCH)
    assert_close(own[0].opt_state, told[0].opt_state)
    with pytest.raises(AssertionError):
        assert_close(own[0].opt_state, whole)
    with pytest.raises(UserError, match=r"accumulate=3 .* 8 examples"):
        make_train_step(dataclasses.replace(plain, accumulate=3), GRADIENT_ONLY, accumulate=2)(state, BATCH)


def test_parts_that_do_not_fit_are_refused():
    objective = make_objective()
    state = make_state(objective, GRADIENT_ONLY, BATCH)
    with pytest.raises(UserError, match=r"accumulate=3 .* 8 examples"):
        make_train_step(objective, GRADIENT_ONLY, accumulate=3)(state, BATCH)


def test_terms_follow_their_schedules():
    total = 10
    terms = {
        "ce": make_term("ce", weight=make_schedule("linear", 1.0, total, end=0.0)),
        "soft_target": make_term(
            "soft_target",
            weight=make_schedule("step", 2.0, total, boundaries=(0.5,), factor=0.25),
            temperature=make_schedule("linear", 6.0, total, end=1.0),
        ),
    }
    objective = make_objective(terms=terms)
    state = make_state(objective, GRADIENT_ONLY, BATCH)
    step = gradient_step(objective)
    for now, weights, temperature in [(0, (1.0, 2.0), 6.0), (4, (0.6, 2.0), 4.0), (5, (0.5, 0.5), 3.5)]:
        _, metrics = step(state.replace(step=jnp.int32(now)), BATCH)
        expected = by_hand(state.params, state.frozen["teacher"], weights=weights, temperature=temperature)
        np.testing.assert_allclose(metrics["loss"].compute(), expected, rtol=1e-5)


def test_labels_may_be_distributions():
    objective = make_objective()
    state = make_state(objective, GRADIENT_ONLY, BATCH)
    soft = {**BATCH, "label": np.eye(3, dtype=np.float32)[BATCH["label"]]}
    new, metrics = gradient_step(objective)(state, soft)
    assert "accuracy" not in metrics
    assert_close(new.opt_state.trace, jax.grad(by_hand)(state.params))


def test_bfloat16_computes_and_float32_keeps():
    objective, low = make_objective(), make_objective(dtype="bfloat16")
    optimizer = make_optimizer("adamw", 1e-3)
    state = make_state(low, optimizer, BATCH, ema=True)
    assert jax.tree.structure(state) == jax.tree.structure(make_state(objective, optimizer, BATCH, ema=True))
    new, metrics = quick_jit(make_train_step(low, optimizer, ema_decay=0.9))(state, BATCH)
    _, exact = quick_jit(make_train_step(objective, optimizer, ema_decay=0.9))(state, BATCH)
    floats = [x for x in jax.tree.leaves((new.params, new.opt_state, new.ema)) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert {x.dtype for x in floats} == {jnp.dtype(jnp.float32)}
    assert metrics["loss"].total.dtype == jnp.float32
    assert metrics["loss"].compute() != exact["loss"].compute()  # it did compute in bfloat16
    np.testing.assert_allclose(metrics["loss"].compute(), exact["loss"].compute(), rtol=0.05)


def test_metrics_are_states_that_merge():
    _, metrics = run(make_objective(), make_optimizer("sgd", 0.1), 2)
    both = metrics[0]["loss"].merge(metrics[1]["loss"])
    assert isinstance(both, Mean)
    assert both.count == 16
