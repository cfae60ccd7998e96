"""What examples count for by their losses: the gradient, what is remembered of it, devices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import assert_close, gradient_step, make_batch, make_objective, make_state, quick_jit

from effjax.errors import UserError
from effjax.losses import cross_entropy, super_loss, super_loss_weights
from effjax.steps import Objective, init_state, make_term, make_train_step
from effjax.steps.weightings import make_weighting


def weighted(name="super_loss", **options) -> Objective:
    return dataclasses.replace(make_objective("mlp"), weighting=make_weighting(name, **options))


def test_the_gradient_is_that_of_the_super_loss():
    objective, batch = weighted(threshold=1.0, regularization=0.5), make_batch()
    optimizer = optax.trace(0.0)
    state = make_state(objective, optimizer, batch)
    new, metrics = gradient_step(objective)(state, batch)
    images = objective.view.see(batch)["image"]

    def loss(params):
        logits = objective.student.apply({"params": params["student"]}, images).logits
        return super_loss(cross_entropy(logits, batch["label"]), 1.0, regularization=0.5).mean()

    assert_close(new.opt_state.trace, jax.grad(loss)(state.params))
    plain, other = gradient_step(make_objective("mlp"))(state, batch)
    assert float(metrics["loss"].total) == float(other["loss"].total)  # what is reported is not weighted
    with pytest.raises(AssertionError):
        assert_close(plain.opt_state.trace, new.opt_state.trace)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_running_mean_is_carried_from_step_to_step(accumulate):
    objective, optimizer = weighted(momentum=0.75), optax.sgd(0.1)
    state = init_state(objective, optimizer, 0, make_batch())
    assert np.isnan(state.memory["weighting"])
    step = quick_jit(make_train_step(objective, optimizer, accumulate=accumulate))
    mean = None
    for seed in range(3):
        batch = make_batch(seed=seed)
        logits = objective.student.apply(state.eval_variables, objective.view.see(batch)["image"]).logits
        for part in np.split(np.asarray(cross_entropy(logits, batch["label"])), accumulate):
            mean = part.mean() if mean is None else 0.75 * mean + 0.25 * part.mean()
        state, _ = step(state, batch)
        np.testing.assert_allclose(state.memory["weighting"], mean, rtol=1e-5)


def test_devices_share_the_mean():
    values, mean = jnp.array([[1.0, 2.0], [5.0, 8.0]]), jnp.float32(jnp.nan)
    weigh = make_weighting("super_loss", regularization=0.5).weigh
    weights, means = jax.vmap(lambda x: weigh(x, mean, "batch"), axis_name="batch")(values)
    assert means.tolist() == [4.0, 4.0]
    np.testing.assert_allclose(weights, super_loss_weights(values, 4.0, regularization=0.5), rtol=1e-6)


def test_by_default_the_mean_moves_by_a_tenth_and_a_loss_counts_as_published():
    weights, mean = make_weighting("super_loss").weigh(jnp.array([1.0, 3.0]), jnp.float32(1.5), None)
    np.testing.assert_allclose(mean, 0.9 * 1.5 + 0.1 * 2, rtol=1e-6)
    np.testing.assert_allclose(weights, super_loss_weights(jnp.array([1.0, 3.0]), 1.55, regularization=1.0), rtol=1e-6)


def test_refused():
    with pytest.raises(UserError, match=r"weighting.name='superloss'.*did you mean 'super_loss'"):
        make_weighting("superloss")
    with pytest.raises(UserError, match=r"weighting, super_loss: no option 'treshold'.*did you mean 'threshold'"):
        make_weighting("super_loss", treshold=1.0)
    with pytest.raises(UserError, match=r"terms.weighting: the weighting's memory has this name; take another"):
        dataclasses.replace(make_objective("mlp"), terms={"weighting": make_term("ce")})
