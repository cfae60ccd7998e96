"""Steps that choose among candidates: what they train on, what they remember, and that nothing else changes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy import assert_close, gradient_step, make_batch, make_objective, make_state, quick_jit

from effjax.curricula import el2n
from effjax.errors import UserError
from effjax.losses import cross_entropy
from effjax.steps import Shift, View, init_records, init_state, make_train_step, rng
from effjax.steps.batch_selection import SELECTIONS, Candidates, make_selection
from effjax.steps.objective import WEIGHT

IDS = 1000  # below which toy batches have their ids


def choosing(score, model="mlp", candidates=2.0, view=None, **options):
    selection = dataclasses.replace(make_selection(score, **options), candidates=candidates)
    return dataclasses.replace(make_objective(model, view=view), selection=selection)


def remembered(objective, batch, memory=None):
    state = make_state(objective, optax.trace(0.0), batch)
    kept = objective.selection.remember
    return state.replace(memory={"selection": memory or kept(IDS)}) if kept else state


def some(batch, rows):
    return {name: array[rows] for name, array in batch.items()}


def losses_of(objective, state, batch):
    logits = objective.student.apply(state.eval_variables, objective.view.see(batch)["image"]).logits
    return np.asarray(cross_entropy(logits, batch["label"])), np.asarray(logits)


def keys_of(state, batch):
    return rng.example_keys(rng.purpose_key(state.seed, state.step, "select"), batch["id"])


def expected_rows(score, objective, state, batch):
    """What a step must train on, from the losses alone."""
    losses, logits = losses_of(objective, state, batch)
    if score == "uniform":
        values = jax.vmap(jax.random.uniform)(keys_of(state, batch))
    elif score == "loss":
        values = losses
    elif score == "el2n":
        values = el2n(logits, batch["label"])
    else:
        values = losses - state.memory["selection"]["reference"][batch["id"]]
        if score == "learnability":
            values = values / 0.5 + jax.vmap(jax.random.gumbel)(keys_of(state, batch))
    return np.sort(np.argsort(-np.asarray(values), kind="stable")[: len(losses) // 2])


@pytest.mark.parametrize("score", ["uniform", "loss", "el2n", "rho_loss", "learnability"])
def test_the_gradient_is_that_of_the_chosen(score):
    options = {"temperature": 0.5} if score == "learnability" else {}
    objective, batch = choosing(score, **options), make_batch()
    table = {"reference": jnp.asarray(np.random.default_rng(4).uniform(0, 3, IDS), jnp.float32)}
    state = remembered(objective, batch, table if objective.selection.reference else None)
    new, metrics = gradient_step(objective)(state, batch)
    rows = expected_rows(score, objective, state, batch)
    alone, others = gradient_step(make_objective("mlp"))(state.replace(memory=()), some(batch, rows))
    assert_close(new.opt_state.trace, alone.opt_state.trace)
    assert int(metrics["loss"].count) == 4
    np.testing.assert_allclose(metrics["loss"].total, others["loss"].total, rtol=1e-5)
    if state.memory:
        np.testing.assert_array_equal(new.memory["selection"]["reference"], table["reference"])


def test_what_candidates_score():
    given = Candidates(
        {"id": np.array([2, 0, 3]), "label": np.array([0, 1, 1])},
        jnp.array([0.5, 2.0, 1.0]),
        jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0], [1.0, 3.0]])),
        jax.random.split(jax.random.key(1), 3),
        {"reference": jnp.array([1.5, 9.0, 0.25, 0.0])},
    )
    lots = np.array([jax.random.gumbel(key) for key in given.keys])
    for score, options, expected in (
        ("uniform", {}, [jax.random.uniform(key) for key in given.keys]),
        ("loss", {}, [0.5, 2.0, 1.0]),
        ("el2n", {}, [0.75 * 2**0.5, 0.5 * 2**0.5, 0.25 * 2**0.5]),
        ("rho_loss", {}, [0.25, 0.5, 1.0]),
        ("learnability", {"temperature": 0.5}, np.add(lots, [0.5, 1.0, 2.0])),
    ):
        scores, weights = make_selection(score, **options).score(given)
        np.testing.assert_allclose(scores, expected, rtol=1e-5)
        assert weights is None
    # Half of those below the mean of what is known, 2, are dropped, and the others count twice.
    known = given._replace(memory={"loss": jnp.array([5.0, -jnp.inf, 0.5, 0.5])})
    stays = np.array([jax.random.uniform(key) >= 0.5 for key in given.keys])
    stays[1] = True
    scores, weights = make_selection("infobatch").score(known)
    np.testing.assert_array_equal(scores, stays)
    np.testing.assert_array_equal(weights, stays * [2, 1, 2])


def test_only_what_looks_at_predictions_asks_the_student():
    """The others cost no pass over the candidates."""
    asking = {name for name in SELECTIONS if make_selection(name).asks}
    assert asking == {"loss", "el2n", "rho_loss", "learnability"}


@pytest.mark.parametrize(
    ("preds", "label"), [(np.zeros((3, 2)), np.full((3, 2), 0.5)), ({"boxes": np.zeros((3, 2))}, np.zeros(3, np.int32))]
)
def test_the_error_of_what_is_not_one_class_is_refused(preds, label):
    """Of mixed images, of what a detector predicts."""
    with pytest.raises(UserError, match="'el2n' looks at the probabilities of classes; take 'loss'"):
        make_selection("el2n").score(Candidates({"label": label}, None, preds, jnp.zeros(3), ()))


def test_a_step_with_one_candidate_each_is_the_plain_step():
    batch = make_batch()
    one = choosing("loss", candidates=1.0)
    state = remembered(one, batch)
    assert_close(*(gradient_step(objective)(state, batch)[0] for objective in (one, make_objective("mlp"))))


def test_candidates_are_looked_at_as_training_sees_them():
    """Augmented by the same draws; running statistics and no dropout, which the chosen then have."""
    objective, batch = choosing("loss", "mlp_dropout", view=View(ops=(Shift(2),))), make_batch()
    state = remembered(objective, batch)
    found, _ = objective.losses_of(state.params, state.model_state, {}, batch, state.seed, state.step)
    keys, _ = objective.view.draw(state.seed, state.step, batch["id"])
    images = objective.view.see(batch, keys, state.step)["image"]
    logits = objective.student.apply(state.eval_variables, images).logits
    np.testing.assert_allclose(found, cross_entropy(logits, batch["label"]), rtol=1e-5)


def test_batch_normalisation_sees_the_chosen_alone():
    objective, batch = choosing("loss", "resnet8"), make_batch()
    state = remembered(objective, batch)
    new, _ = gradient_step(objective)(state, batch)
    rows = np.sort(np.argsort(-np.asarray(losses_of(objective, state, batch)[0]))[:4])
    alone, _ = gradient_step(make_objective("resnet8"))(state, some(batch, rows))
    assert_close(new.model_state, alone.model_state, atol=1e-5)


def test_infobatch_remembers_the_losses_of_what_it_trained_on():
    objective, batch = choosing("infobatch", candidates=1.0 + 1e-9), make_batch()
    state = remembered(objective, batch)
    assert np.isneginf(state.memory["selection"]["loss"]).all()
    losses, _ = losses_of(objective, state, batch)
    new, metrics = gradient_step(objective)(state, batch)
    np.testing.assert_allclose(new.memory["selection"]["loss"][batch["id"]], losses, rtol=1e-5)
    assert int(np.isfinite(new.memory["selection"]["loss"]).sum()) == 8  # and of nothing else
    assert float(metrics["used"].total) == 8  # what was never seen is not dropped
    twice = make_selection("infobatch").learn(new.memory["selection"], jnp.array([5, 5]), jnp.array([1.0, 0.5]))
    assert float(twice["loss"][5]) == 1.0


def test_infobatch_is_unbiased():
    """The mean over many draws of the kept examples' weighted values is the sum over all, whatever is remembered."""
    selection, ids = make_selection("infobatch", dropped=0.7), jnp.arange(12)
    known = jnp.concatenate([jnp.linspace(0.0, 2.0, 10), jnp.full(2, -jnp.inf)])
    values = np.random.default_rng(2).normal(size=12)

    def once(key):
        keys = jax.random.split(key, 12)
        stays, weights = selection.score(Candidates({"id": ids}, None, None, keys, {"loss": known}))
        return stays, weights

    stays, weights = jax.vmap(once)(jax.random.split(jax.random.key(0), 20_000))
    easy = np.asarray(known < 1.0) & np.isfinite(np.asarray(known))
    assert (np.asarray(stays)[:, ~easy] == 1).all()
    np.testing.assert_allclose(np.asarray(stays)[:, easy].mean(0), 0.3, atol=0.015)
    np.testing.assert_allclose(np.unique(weights), [0.0, 1.0, 1 / 0.3], rtol=1e-5)
    np.testing.assert_allclose((np.asarray(weights) * values).mean(0), values, atol=0.06)


@pytest.mark.parametrize("certain", [[1, 6], [6]])
def test_infobatch_of_which_too_few_stay_is_the_mean_over_those(certain):
    """Places that are left are filled with what is dropped, which then counts for nothing."""
    objective, batch = choosing("infobatch", dropped=0.99), make_batch()
    known = np.full(IDS, 0.1, np.float32)
    known[batch["id"][certain]] = 50.0
    state = remembered(objective, batch, {"loss": jnp.asarray(known)})
    _, weights = objective.selection.score(
        Candidates(batch, None, None, keys_of(state, batch), state.memory["selection"])
    )
    stay = np.flatnonzero(np.asarray(weights) > 0)
    assert stay.tolist() == certain
    new, metrics = gradient_step(objective)(state, batch)
    assert float(metrics["used"].total) == len(stay)
    own = jnp.asarray(weights)[stay]

    def loss(params):
        images = objective.view.see(some(batch, stay))["image"]
        logits = objective.student.apply({"params": params["student"]}, images).logits
        return (own * cross_entropy(logits, batch["label"][stay])).mean()

    assert_close(new.opt_state.trace, jax.grad(loss)(state.params))


@pytest.mark.parametrize("score", ["uniform", "infobatch", "rho_loss"])
def test_devices_choose_together(score):
    """Under a mapped axis each device trains on its part of what one device would have chosen of all."""
    objective, batch = choosing(score), make_batch(16)
    known = jnp.asarray(np.random.default_rng(4).uniform(0, 3, IDS), jnp.float32)
    memory = None if score == "uniform" else {"loss" if score == "infobatch" else "reference": known}
    state = remembered(objective, batch, memory)
    whole, metrics = gradient_step(objective)(state, batch)
    halves = {name: array.reshape(2, 8, *array.shape[1:]) for name, array in batch.items()}
    step = make_train_step(objective, optax.trace(0.0), axis_name="batch")
    mapped = quick_jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name="batch"))
    apart, sums = mapped(state, halves)
    assert_close(apart.opt_state.trace, whole.opt_state.trace)
    if score != "uniform":
        assert_close(apart.memory, whole.memory)
    assert int(sums["loss"].count) == int(metrics["loss"].count) == 8


def test_records_and_parts_are_of_the_chosen():
    objective, batch = choosing("loss"), make_batch()
    state = remembered(objective, batch).replace(records=init_records(IDS))
    step = quick_jit(make_train_step(objective, optax.trace(0.0), record=True, accumulate=2))
    new, _ = step(state, batch)
    rows = expected_rows("loss", objective, state, batch)
    assert set(np.flatnonzero(new.records["seen"])) == set(batch["id"][rows].tolist())


def test_refused():
    with pytest.raises(UserError, match=r"selection.score='rho'.*did you mean"):
        make_selection("rho")
    with pytest.raises(UserError, match=r"selection, loss: no option 'dropped'"):
        make_selection("loss", dropped=0.5)
    with pytest.raises(UserError, match=r"selection: it remembers examples.*num_ids"):
        init_state(choosing("infobatch"), optax.sgd(0.1), 0, make_batch())
    assert init_state(choosing("infobatch"), optax.sgd(0.1), 0, make_batch(), num_ids=9).memory["selection"][
        "loss"
    ].shape == (9,)
    assert set(SELECTIONS) == {"uniform", "loss", "el2n", "rho_loss", "learnability", "infobatch"}
    assert WEIGHT not in make_batch()
