"""Random draws are a function of (seed, step, id): not of the place in the batch, nor of what was drawn before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import (
    GRADIENT_ONLY,
    assert_close,
    gradient_step,
    largest_difference,
    make_batch,
    make_objective,
    make_state,
)

from effjax.steps import Flip, MixUp, Shift, View
from effjax.steps.rng import example_keys, purpose_key, seed_of_view

BATCH = make_batch()
DRAWN = {
    "mlp_dropout": make_objective("mlp_dropout"),
    "scnn": make_objective("scnn"),
    "shift": make_objective("mlp", view=View(ops=(Shift(2),))),
    "flip": make_objective("mlp", view=View(ops=(Flip(),))),
}


@pytest.fixture(scope="module", params=DRAWN)
def drawn(request):
    objective = DRAWN[request.param]
    return make_state(objective, GRADIENT_ONLY, BATCH), gradient_step(objective)


def gradient(drawn, batch=BATCH, **changes):
    state, step = drawn
    return step(state.replace(**changes), batch)[0].opt_state.trace


def test_place_in_the_batch_does_not_matter(drawn):
    order = np.random.default_rng(0).permutation(8)
    permuted = {name: array[order] for name, array in BATCH.items()}
    assert_close(gradient(drawn, permuted), gradient(drawn))


def test_seed_step_and_id_all_matter(drawn):
    reference = gradient(drawn)
    assert largest_difference(gradient(drawn), reference) == 0
    assert largest_difference(gradient(drawn, step=jnp.int32(1)), reference) > 1e-3
    assert largest_difference(gradient(drawn, seed=jnp.uint32(4)), reference) > 1e-3
    assert largest_difference(gradient(drawn, {**BATCH, "id": BATCH["id"] + 1}), reference) > 1e-3


def test_copies_of_an_example_are_drawn_apart(drawn):
    same = {name: np.repeat(array[:1], 8, axis=0) for name, array in BATCH.items()}
    copies = {**same, "copy": np.arange(8, dtype=np.int32)}
    assert largest_difference(gradient(drawn, copies), gradient(drawn, same)) > 1e-3
    order = {name: array[::-1] for name, array in copies.items()}
    assert_close(gradient(drawn, order), gradient(drawn, copies))


def test_without_draws_the_step_does_not_matter():
    objective = make_objective("mlp")
    state, step = make_state(objective, GRADIENT_ONLY, BATCH), gradient_step(objective)
    assert_close(gradient((state, step), step=jnp.int32(5), seed=jnp.uint32(9)), gradient((state, step)), atol=0)


def test_keys_differ_by_seed_step_purpose_and_id():
    keys = [
        purpose_key(seed, step, purpose) for seed in (0, 1) for step in (0, 1) for purpose in ("dropout", "augment")
    ]
    ids = np.array([0, 1, 7, 2_000_000_000], np.int32)
    bits = np.stack([jax.random.key_data(example_keys(key, ids)) for key in keys]).reshape(-1, 2)
    assert len(np.unique(bits, axis=0)) == 2 * 2 * 2 * 4


def test_keys_are_the_same_in_every_process():
    # Golden: were the purpose hashed by Python's own hash(), each process would draw otherwise.
    key = purpose_key(jnp.uint32(5), jnp.int32(11), "dropout")
    crc = 0x9289EFC9  # CRC-32 of "dropout"
    expected = jax.random.fold_in(jax.random.fold_in(jax.random.key(5), crc), 11)
    np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(expected))


def test_what_is_shown_again_is_seen_as_by_the_step_that_drew_it():
    objective = make_objective("mlp", view=View(ops=(Shift(2), Flip())))
    seed, steps = jnp.uint32(3), np.array([4, 9, 9, 2, 7, 4, 0, 9], np.int32)
    state = make_state(objective, GRADIENT_ONLY, BATCH)

    @jax.jit
    def shown(batch, step):
        _, (_, seen, _) = objective.evaluate(state.params, state.model_state, {}, batch, seed, step)
        return seen.batch["image"]

    again = shown({**BATCH, "drawn_at": steps, "copy": np.arange(8, dtype=np.int32)}, jnp.int32(9))
    for place, step in enumerate(steps):
        np.testing.assert_array_equal(again[place], shown(BATCH, jnp.int32(step))[place])
    several = example_keys(purpose_key(seed, steps, "augment"), BATCH["id"])
    alone = [example_keys(purpose_key(seed, step, "augment"), BATCH["id"])[i] for i, step in enumerate(steps)]
    np.testing.assert_array_equal(jax.random.key_data(several), jax.random.key_data(jnp.stack(alone)))


def test_what_is_shown_again_is_mixed_anew_and_has_a_dropout_of_its_own():
    for model, view in (("mlp", View(mix=(MixUp(0.8),))), ("mlp_dropout", None)):
        objective = make_objective(model, view=view)
        drawn = make_state(objective, GRADIENT_ONLY, BATCH), gradient_step(objective)
        again = {**BATCH, "drawn_at": np.zeros(8, np.int32), "copy": np.zeros(8, np.int32)}
        steps = [gradient(drawn, again, step=jnp.int32(step)) for step in (5, 6)]
        assert largest_difference(*steps) > 1e-3
        other = gradient(drawn, {**again, "copy": np.arange(8, dtype=np.int32)}, step=jnp.int32(5))
        assert largest_difference(steps[0], other) > 1e-3


def test_a_further_view_draws_by_a_seed_of_its_name():
    """Runs go on with the draws that they began with: the values may never change."""
    expected = jax.random.bits(purpose_key(7, 0, "view strong"), (), jnp.uint32)
    assert seed_of_view(7, "strong") == expected
    assert seed_of_view(7, "weak") != expected != seed_of_view(8, "strong")
