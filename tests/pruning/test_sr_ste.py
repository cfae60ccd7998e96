"""SR-STE's gradient by hand, and that what was removed learns and shrinks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import pruning

PARAMS = {"kernel": jnp.array([[1.0, -2.0], [3.0, 0.5]]), "bias": jnp.array([1.0, -1.0])}
MASKS = {"kernel": jnp.array([[True, False], [False, True]]), "bias": None}


def loss(params):
    return (jnp.array([[2.0, 3.0], [5.0, 7.0]]) * params["kernel"] ** 2).sum() / 2 + params["bias"].sum() ** 3


def test_by_hand():
    value, gradients = jax.value_and_grad(lambda p: loss(pruning.sr_ste(p, MASKS, decay=0.1)))(PARAMS)
    np.testing.assert_allclose(value, 2.0 / 2 + 7.0 * 0.25 / 2)
    # Where a weight is kept, its own gradient (2 · 1, 7 · ½). Where it is not, that at 0 (none), and a tenth of it.
    np.testing.assert_allclose(gradients["kernel"], [[2.0, -0.2], [0.3, 3.5]], rtol=1e-6)
    np.testing.assert_allclose(gradients["bias"], [0.0, 0.0])


@pytest.mark.parametrize("decay", [0.0, 2e-4])
def test_equals_the_formula(decay):
    through = jax.jit(jax.grad(lambda p: loss(pruning.sr_ste(p, MASKS, decay=decay))))(PARAMS)
    masked = pruning.apply_masks(PARAMS, MASKS)
    plain = jax.grad(loss)(masked)
    np.testing.assert_allclose(
        through["kernel"], plain["kernel"] + decay * (1 - MASKS["kernel"]) * PARAMS["kernel"], rtol=1e-6
    )
    jax.tree.map(np.testing.assert_array_equal, pruning.sr_ste(PARAMS, MASKS), masked)


def test_the_published_decay_is_the_default():
    gradients = jax.grad(lambda w: 0.0 * pruning.sr_ste(w, jnp.array([False])).sum())(jnp.array([10.0]))
    np.testing.assert_allclose(gradients, [2e-3], rtol=1e-6)


def test_seeds_together_and_half_precision():
    stacked = jnp.stack([PARAMS["kernel"], 2 * PARAMS["kernel"]]).astype(jnp.bfloat16)
    masks = jnp.stack([MASKS["kernel"], ~MASKS["kernel"]])

    def gradient(w, kept):
        return jax.grad(lambda w: pruning.sr_ste(w, kept, decay=0.5).sum())(w)

    together = jax.vmap(gradient)(stacked, masks)
    assert together.dtype == jnp.bfloat16
    for i in range(2):
        np.testing.assert_array_equal(together[i], gradient(stacked[i], masks[i]))


def test_masks_of_the_moment():
    """Removed weights whose gradients are large grow until they are kept, and others are removed."""
    target = jnp.array([[0.0], [1.0], [1.0], [0.0]])

    @jax.jit
    def step(w):
        def error(w):
            return ((pruning.sr_ste(w, pruning.n_of_m_mask(pruning.magnitude(w), 2, 4)) - target) ** 2).sum()

        return w - 0.1 * jax.grad(error)(w)

    w = jnp.array([[0.5], [0.0], [0.1], [0.4]])
    for _ in range(100):
        w = step(w)
    kept = pruning.n_of_m_mask(pruning.magnitude(w), 2, 4)
    assert kept[:, 0].tolist() == [False, True, True, False]
    np.testing.assert_allclose(pruning.apply_masks(w, kept), [[0.0], [1.0], [1.0], [0.0]], atol=1e-3)
