"""What a weight is worth, by hand; which leaves are weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models, pruning
from effjax.pruning.paths import by_path

PARAMS = {"conv": {"kernel": jnp.array([[-2.0, 0.5]]), "bias": jnp.array([3.0])}, "none": None}
GRADIENTS = {"conv": {"kernel": jnp.array([[0.25, -4.0]]), "bias": jnp.array([0.0])}, "none": None}


def test_by_hand():
    assert jax.tree.map(np.ndarray.tolist, jax.tree.map(np.asarray, pruning.magnitude(PARAMS))) == {
        "conv": {"kernel": [[2.0, 0.5]], "bias": [3.0]},
        "none": None,
    }
    found = pruning.saliency(PARAMS, GRADIENTS)
    assert found["conv"]["kernel"].tolist() == [[0.5, 2.0]]
    assert found["conv"]["bias"].tolist() == [0.0]


def test_saliency_is_the_change_of_a_linear_loss():
    slope = jnp.array([1.0, -2.0, 3.0])
    weights = jnp.array([0.5, 0.25, -1.0])

    def loss(w):
        return (w * slope).sum()

    found = pruning.saliency(weights, jax.grad(loss)(weights))
    changes = [abs(loss(weights) - loss(weights.at[i].set(0.0))) for i in range(3)]
    np.testing.assert_allclose(found, changes, rtol=1e-6)


@pytest.mark.parametrize("name", pruning.SCORES)
def test_every_score(name):
    """A tree alike, of float32 at least, finite, and the same inside of a program."""
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), PARAMS)
    for params in (PARAMS, half):
        found = pruning.SCORES[name](params, GRADIENTS)
        assert jax.tree.structure(found) == jax.tree.structure(params)
        assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}
        assert all((leaf >= 0).all() for leaf in jax.tree.leaves(found))
        compiled = jax.jit(pruning.SCORES[name])(params, GRADIENTS)
        jax.tree.map(np.testing.assert_array_equal, compiled, found)


def test_kernels_are_prunable_and_nothing_else():
    model = models.create("vit", 10, patch=7, dim=8, blocks=1, heads=2)
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    params = jax.eval_shape(model.init, jax.random.key(0), images)["params"]
    found = pruning.prunable(params)
    assert found
    assert all(path.endswith("/kernel") for path in found)
    leaves = set(by_path(params))
    assert {path.rpartition("/")[2] for path in leaves - set(found)} >= {"bias", "scale"}
    assert not any(path.endswith("kernel") for path in leaves - set(found))


def test_where_nothing_is_called_a_kernel_all_matrices_are_prunable():
    assert pruning.prunable([np.ones((2, 3)), np.ones(3), {"w": np.ones((1, 1, 2, 2))}]) == ("0", "2/w")
    assert pruning.prunable(np.ones((2, 3))) == ("",)
    assert pruning.prunable({"kernel": np.ones(3), "bias": np.ones(3), "none": None}) == ()
