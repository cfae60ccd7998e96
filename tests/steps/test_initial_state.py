"""The state before the first step."""

import jax
import jax.numpy as jnp
import numpy as np
from toy import largest_difference, make_batch, make_objective

from effjax.steps import init_state, make_optimizer

BATCH = make_batch()
OPTIMIZER = make_optimizer("sgd", 0.1)


def initial(model, seed, **options):
    return init_state(make_objective(model), OPTIMIZER, seed, BATCH, **options)


def test_counters_and_parts():
    state = initial("mlp", 7)
    assert (state.step, state.step.dtype) == (0, jnp.int32)
    assert (state.seed, state.seed.dtype) == (7, jnp.uint32)
    assert set(state.params) == {"student"}
    assert state.model_state == {}
    assert state.ema == ()
    assert state.frozen == {}
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}


def test_the_seed_draws_the_parameters():
    first, again, other = (initial("mlp", seed).params for seed in (3, 3, 4))
    assert largest_difference(first, again) == 0
    assert largest_difference(first, other) > 1e-2


def test_the_average_starts_at_the_parameters_in_buffers_of_its_own():
    state = initial("mlp", 0, ema=True)
    assert largest_difference(state.ema, state.params) == 0
    ours, theirs = (tree["student"]["dense1"]["kernel"] for tree in (state.ema, state.params))
    assert ours.unsafe_buffer_pointer() != theirs.unsafe_buffer_pointer()  # or donating one would destroy both


def test_batch_statistics_are_model_state_and_shapes_suffice():
    batch = jax.tree.map(jnp.asarray, BATCH)
    state = jax.eval_shape(lambda: init_state(make_objective("resnet8"), OPTIMIZER, 0, batch))
    assert set(state.model_state) == {"batch_stats"}
    assert set(state.eval_variables) == {"params", "batch_stats"}
    assert np.prod(state.params["student"]["stem_conv"]["kernel"].shape) == 3 * 3 * 1 * 4
