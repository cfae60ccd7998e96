"""n of m along the input channels, by hand and against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import pruning
from effjax.errors import UserError
from effjax.numerics import Unusable

RNG = np.random.default_rng(5)


def reference(scores, n, m):
    scores = np.asarray(scores, np.float32)
    kept = np.zeros(scores.shape, bool)
    for where in np.ndindex(*scores.shape[:-2], scores.shape[-1]):
        for start in range(0, scores.shape[-2], m):
            group = range(start, min(start + m, scores.shape[-2]))
            for i in sorted(group, key=lambda i, at=where: (-scores[(*at[:-1], i, at[-1])], i))[:n]:
                kept[(*where[:-1], i, where[-1])] = True
    return kept


def test_by_hand():
    kernel = jnp.array([[1.0, 4.0], [4.0, 4.0], [2.0, 4.0], [3.0, 4.0], [0.0, 1.0], [5.0, 2.0]])
    found = pruning.n_of_m_mask({"kernel": kernel, "bias": jnp.ones(2)}, 2, 4)
    assert found["bias"] is None
    assert found["kernel"].T.tolist() == [
        [False, True, False, True, True, True],  # a last group of two keeps both
        [True, True, False, False, True, True],  # of equal ones the first
    ]
    assert pruning.n_of_m_mask(kernel, 1, 4).sum(0).tolist() == [2, 2]


@pytest.mark.parametrize("shape", [(3, 3, 8, 2), (1, 2, 6, 3), (3, 3, 1, 4), (5, 2), (1, 1)])
@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (3, 3), (1, 1), (4, 8)])
def test_equals_the_reference(shape, n, m):
    few = RNG.integers(0, 3, shape)
    for scores in (RNG.normal(size=shape).astype(np.float32), jnp.asarray(few, jnp.bfloat16), -few.astype(np.float32)):
        found = pruning.n_of_m_mask(scores, n, m)
        np.testing.assert_array_equal(found, reference(scores, n, m))
        np.testing.assert_array_equal(jax.jit(pruning.n_of_m_mask, static_argnums=(1, 2))(scores, n, m), found)


def test_seeds_together():
    scores = {"kernel": jnp.asarray(RNG.normal(size=(2, 3, 3, 6, 2)))}
    together = jax.vmap(lambda s: pruning.n_of_m_mask(s, 2, 4))(scores)["kernel"]
    for i in range(2):
        np.testing.assert_array_equal(together[i], reference(scores["kernel"][i], 2, 4))


def test_nan():
    scores = jnp.array([[jnp.nan], [1.0], [-1.0], [jnp.nan]])
    with pytest.raises(Unusable, match="2 values are not finite"):
        pruning.n_of_m_mask(scores, 2, 4)
    assert jax.jit(pruning.n_of_m_mask, static_argnums=(1, 2))(scores, 3, 4)[:, 0].tolist() == [True, True, True, False]


@pytest.mark.parametrize(("n", "m"), [(0, 4), (5, 4), (2, 0), (2.0, 4), (True, 4)])
def test_what_is_no_part_is_refused(n, m):
    with pytest.raises(UserError, match="n_of_m_mask: "):
        pruning.n_of_m_mask(np.ones((4, 4)), n, m)
