"""Several networks in one program, and what is noted of each example on the way."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import make_batch, make_objective, quick_jit

from effjax.errors import UserError
from effjax.steps import (
    ensemble_apply,
    init_records,
    init_state,
    make_train_step,
    member_of,
    over_members,
    stack_members,
    update_records,
)


@pytest.mark.parametrize(("model", "unroll"), [("mlp_dropout", False), ("mlp_dropout", True), ("scnn", True)])
def test_members_train_as_each_would_alone(model, unroll):
    objective, optimizer = make_objective(model), optax.sgd(0.1, 0.9)
    step = make_train_step(objective, optimizer)
    batches = [make_batch(seed=seed) for seed in range(3)]
    states = [init_state(objective, optimizer, seed, batches[0]) for seed in range(3)]
    together = quick_jit(over_members(step, (0, 0), unroll=unroll))
    new, metrics = together(stack_members(states), stack_members(batches))
    for member in range(3):
        alone, alone_metrics = quick_jit(step)(states[member], batches[member])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), member_of(new, member), alone)
        np.testing.assert_allclose(metrics["loss"].total[member], alone_metrics["loss"].total, rtol=1e-5)


def test_what_all_members_share_is_not_mapped():
    together = over_members(lambda a, b: a * b, (0, None), unroll=True)
    np.testing.assert_array_equal(together(jnp.arange(3.0), jnp.ones(2)), [[0, 0], [1, 1], [2, 2]])


@pytest.mark.parametrize("model", ["mlp", "scnn"])
def test_an_ensemble_answers_as_its_members_do(model):
    objective, batch = make_objective(model), make_batch()
    images = objective.view.see(batch)["image"]
    states = [init_state(objective, optax.sgd(0.1), seed, batch) for seed in range(3)]
    variables = [state.eval_variables for state in states]

    def apply(variables, images):
        return objective.student.apply(variables, images).logits

    answers = quick_jit(lambda v, x: ensemble_apply(apply, v, x))(stack_members(variables), images)
    np.testing.assert_allclose(answers, [apply(own, images) for own in variables], atol=1e-5)


def test_records_by_hand():
    records = init_records(4)
    records = update_records(records, jnp.array([2, 0, 2]), jnp.array([0.5, 0.25, 1.0]), jnp.array([0, 1, 1]) > 0, 6)
    records = update_records(records, jnp.array([0]), jnp.array([0.75]), jnp.array([False]), 9)
    assert records["seen"].tolist() == [2, 0, 2, 0]
    assert records["right"].tolist() == [1, 0, 1, 0]
    assert records["prob"].tolist() == [1.0, 0, 1.5, 0]
    assert records["prob_squared"].tolist() == [0.0625 + 0.5625, 0, 1.25, 0]
    assert records["wrong_at"].tolist() == [10, 0, 7, 0]
    assert "forgotten" not in records


def test_forgetting_by_hand():
    """Forgotten is what was right when it was last seen and is wrong now; twice in a batch, both must be right."""
    records = init_records(4, forgetting=True)
    seen = [([0, 1], [1, 0]), ([0, 1], [1, 0]), ([0, 2], [0, 1]), ([0, 1], [0, 1]), ([2, 2], [0, 1]), ([2, 1], [0, 0])]
    for step, (ids, right) in enumerate(seen):
        records = update_records(records, jnp.array(ids), jnp.full(2, 0.5), jnp.array(right) > 0, step)
    # 0: right, right, wrong, wrong. 1: wrong, wrong, right, wrong. 2: right, wrong and right, wrong.
    assert records["forgotten"].tolist() == [1, 1, 1, 0]
    assert records["was_right"].tolist() == [0, 0, 0, 0]
    again = update_records(records, jnp.array([3, 3]), jnp.full(2, 0.5), jnp.array([True, True]), 9)
    assert again["forgotten"].tolist() == [1, 1, 1, 0]
    assert again["was_right"].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_step_records_what_it_sees_before_it_learns(accumulate):
    objective, optimizer, batch = make_objective("mlp"), optax.sgd(0.5), make_batch()
    state = init_state(objective, optimizer, 0, batch).replace(records=init_records(1000))
    step = quick_jit(make_train_step(objective, optimizer, record=True, accumulate=accumulate))
    new, metrics = step(state, batch)
    logits = objective.student.apply(state.eval_variables, objective.view.see(batch)["image"]).logits
    probs = np.asarray(jax.nn.softmax(logits))[np.arange(8), batch["label"]]
    np.testing.assert_allclose(new.records["prob"][batch["id"]], probs, rtol=1e-5)
    assert int(new.records["seen"].sum()) == 8
    assert float(new.records["right"].sum()) == float(metrics["accuracy"].total)
    wrong = np.asarray(logits.argmax(-1)) != batch["label"]
    np.testing.assert_array_equal(new.records["wrong_at"][batch["id"]], wrong.astype(int))


def test_nothing_is_recorded_without_an_outcome():
    objective = dataclasses.replace(make_objective("mlp"), outcome=None)
    with pytest.raises(UserError, match="record=True: the objective has no outcome"):
        make_train_step(objective, optax.sgd(0.5), record=True)
