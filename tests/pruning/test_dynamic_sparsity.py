"""RigL and SET: by hand, against loops; as many come as go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import pruning

RNG = np.random.default_rng(7)
FRACTIONS = (0.0, 0.1, 0.3, 0.5, 0.99, 1.0)


def exchanged(weights, kept, gain, fraction):
    """The new mask, one weight after the other."""
    flat, gain = np.asarray(weights, np.float32).ravel(), np.asarray(gain, np.float32).ravel()
    active = [i for i in range(flat.size) if np.ravel(kept)[i]]
    inactive = [i for i in range(flat.size) if not np.ravel(kept)[i]]
    count = min(int(np.float32(fraction) * np.float32(len(active))), len(inactive))
    stays = sorted(active, key=lambda i: (-abs(flat[i]), i))[: len(active) - count]
    comes = sorted(inactive, key=lambda i: (-abs(gain[i]), i))[:count]
    new = np.zeros(flat.size, bool)
    new[stays + comes] = True
    return new.reshape(np.shape(weights))


def trees(density, values):
    shapes = {"a": (3, 3, 2, 4), "b": (5, 3), "c": (1, 1)}
    params, masks, gradients = {}, {}, {}
    for name, shape in shapes.items():
        params[name] = {"kernel": values(shape), "bias": values(shape[-1:])}
        gradients[name] = {"kernel": values(shape), "bias": values(shape[-1:])}
        masks[name] = {"kernel": jnp.asarray(RNG.random(shape) < density), "bias": None}
    return pruning.apply_masks(params, masks), masks, gradients


VALUES = {
    "all different": lambda shape: jnp.asarray(RNG.normal(size=shape), jnp.float32),
    "few different": lambda shape: jnp.asarray(RNG.integers(-1, 2, shape), jnp.float32),
    "bfloat16": lambda shape: jnp.asarray(RNG.normal(size=shape), jnp.bfloat16),
}


def check_exchange(before, after, where):
    """As many are kept as before; what is new, and what is gone, is 0; the rest, and biases, are as they were."""
    (params, masks), (new_params, new_masks) = before, after
    for name in params:
        old, new = np.asarray(masks[name]["kernel"]), np.asarray(new_masks[name]["kernel"])
        assert old.sum() == new.sum(), where
        assert new_masks[name]["bias"] is None
        wanted = np.where(old & new, np.asarray(params[name]["kernel"], np.float32), 0)
        np.testing.assert_array_equal(np.asarray(new_params[name]["kernel"], np.float32), wanted)
        assert new_params[name]["kernel"].dtype == params[name]["kernel"].dtype
        np.testing.assert_array_equal(new_params[name]["bias"], params[name]["bias"])


@pytest.mark.parametrize("density", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_rigl_equals_the_reference(density, values):
    params, masks, gradients = trees(density, values)
    compiled = jax.jit(pruning.rigl)
    for fraction in FRACTIONS:
        found = pruning.rigl(params, masks, gradients, fraction)
        for name in params:
            given = (tree[name]["kernel"] for tree in (params, masks, gradients))
            np.testing.assert_array_equal(found[1][name]["kernel"], exchanged(*given, fraction))
        check_exchange((params, masks), found, (density, fraction))
        jax.tree.map(np.testing.assert_array_equal, compiled(params, masks, gradients, fraction), found)


@pytest.mark.parametrize("density", [0.0, 0.2, 0.9, 1.0])
def test_set_keeps_the_largest_and_draws_the_others(density):
    params, masks, _ = trees(density, VALUES["all different"])
    compiled = jax.jit(pruning.set_update)
    for fraction in FRACTIONS:
        found = pruning.set_update(jax.random.key(1), params, masks, fraction)
        check_exchange((params, masks), found, (density, fraction))
        for name in params:
            old, kernel = np.asarray(masks[name]["kernel"]), params[name]["kernel"]
            wanted = exchanged(kernel, old, np.zeros_like(kernel), fraction)  # what stays is the same, whatever comes
            np.testing.assert_array_equal(np.asarray(found[1][name]["kernel"]) & old, wanted & old)
        jax.tree.map(np.testing.assert_array_equal, compiled(jax.random.key(1), params, masks, fraction), found)


def test_set_draws_anywhere():
    kept = jnp.arange(40) < 10
    weights = jnp.where(kept, 1.0, 0.0)
    keys = jax.random.split(jax.random.key(0), 200)
    _, masks = jax.vmap(lambda key: pruning.set_update(key, weights, kept, 0.5))(keys)
    assert (masks.sum(1) == 10).all()
    assert (masks[:, :5].all(1)).all()  # of equal ones, the first stay
    share = np.asarray(masks[:, 10:]).mean(0)  # five of thirty come
    assert abs(share.mean() - 1 / 6) < 1e-6
    assert share.min() > 0.05
    assert share.max() < 0.3


def test_by_hand():
    weights = jnp.array([0.5, -3.0, 0.0, 2.0, 0.0, -0.1])
    kept = jnp.array([True, True, False, True, False, True])
    gradients = jnp.array([9.0, 9.0, -1.0, 9.0, 2.0, 9.0])
    params, masks = pruning.rigl(weights, kept, gradients, 0.3)  # 1.2 of 4: one
    assert masks.tolist() == [True, True, False, True, True, False]
    assert params.tolist() == pytest.approx([0.5, -3.0, 0.0, 2.0, 0.0, 0.0])
    # Two at most can go, as two can come: what was dropped does not come back, whatever its gradient.
    params, masks = pruning.rigl(weights, kept, gradients, 1.0)
    assert masks.tolist() == [False, True, True, True, True, False]


def test_gradients_that_are_not_finite_keep_the_count():
    weights, kept = jnp.array([1.0, 2.0, 0.0, 0.0, 0.0]), jnp.array([True, True, False, False, False])
    for gradients in (jnp.full(5, jnp.nan), jnp.array([0, 0, jnp.nan, 1.0, jnp.inf])):
        _, masks = pruning.rigl(weights, kept, gradients, 1.0)
        assert int(masks.sum()) == 2
        assert not masks[:2].any()
    assert masks.tolist() == [False, False, False, True, True]


def test_seeds_together():
    members = [trees(0.4, VALUES["all different"]) for _ in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    together = jax.vmap(pruning.rigl, in_axes=(0, 0, 0, None))(*stacked, 0.3)
    for i, member in enumerate(members):
        alone = pruning.rigl(*member, 0.3)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda leaf, i=i: leaf[i], together), alone)
