"""ERK by hand, against the iteration that its paper describes, and its sum."""

import jax
import numpy as np
import pytest

from effjax import pruning
from effjax.errors import UserError

RESNET = {
    "conv": (3, 3, 3, 16),
    "block1": (3, 3, 16, 16),
    "block2": (3, 3, 16, 32),
    "depthwise": (3, 3, 1, 32),
    "block3": (3, 3, 32, 64),
    "shortcut": (1, 1, 32, 64),
    "dense": (64, 10),
    "head": (64, 10),
}
SPARSITIES = (0.0, 0.01, 0.1, 0.25, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)


def reference(shapes, sparsity):
    """Layers above 1 become dense, one after the other, and ε is found anew."""
    dense = set()
    sizes = {name: np.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    while len(dense) < len(shapes):
        others = [name for name in shapes if name not in dense]
        left = (1 - sparsity) * sum(sizes.values()) - sum(sizes[name] for name in dense)
        epsilon = left / sum(raw[name] * sizes[name] for name in others)
        worst = max(others, key=raw.get)
        if epsilon * raw[worst] <= 1:
            break
        dense.add(worst)
    return [1.0 if name in dense else epsilon * raw[name] for name in shapes]


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_equals_the_iteration(sparsity):
    found = pruning.erk(RESNET, sparsity)
    assert list(found) == list(RESNET)
    np.testing.assert_allclose(list(found.values()), reference(RESNET, sparsity), atol=2e-6)
    traced = jax.jit(lambda s: pruning.erk(RESNET, s))(sparsity)
    np.testing.assert_allclose([traced[name] for name in RESNET], list(found.values()), atol=1e-6)
    sizes = np.array([np.prod(shape) for shape in RESNET.values()])
    total = (np.array(list(found.values())) * sizes).sum() / sizes.sum()
    np.testing.assert_allclose(total, 1 - sparsity, atol=1e-6)


def test_by_hand():
    # (4 · 4 · 3 · 3): 14/144; (8, 8): 16/64. Half of 208 is 104 = ε (14 + 16): 3.467 · .25 is .867, none is above 1.
    found = pruning.erk({"conv": (3, 3, 4, 4), "dense": (8, 8)}, 0.5)
    np.testing.assert_allclose(list(found.values()), [104 / 30 * 14 / 144, 104 / 30 * 16 / 64], rtol=1e-6)
    # A quarter less: 156 = ε · 30 would keep 1.3 of the dense layer. It keeps 64, and the other 92 of 144.
    found = pruning.erk({"conv": (3, 3, 4, 4), "dense": (8, 8)}, 0.25)
    np.testing.assert_allclose(list(found.values()), [92 / 144, 1.0], rtol=1e-6)


@pytest.mark.parametrize("density", [pruning.erk, pruning.uniform])
def test_at_the_ends_it_is_exact(density):
    assert [float(d) for d in density(RESNET, 0.0).values()] == [1.0] * len(RESNET)
    assert [float(d) for d in density(RESNET, 1.0).values()] == [0.0] * len(RESNET)
    assert density({}, 0.5) == {}


def test_alike_layers_alike():
    found = pruning.erk({"a": (5, 7), "b": (7, 5), "c": (5, 7)}, 0.3)
    np.testing.assert_allclose(list(found.values()), [0.7] * 3, rtol=1e-6)
    assert [float(d) for d in pruning.erk({"alone": (1, 1)}, 0.25).values()] == [0.75]


def test_the_uniform_share():
    assert {name: float(d) for name, d in pruning.uniform(RESNET, 0.75).items()} == dict.fromkeys(RESNET, 0.25)


@pytest.mark.parametrize("sparsity", [-0.1, 1.01, float("nan")])
@pytest.mark.parametrize("density", [pruning.erk, pruning.uniform])
def test_what_is_no_sparsity_is_refused(density, sparsity):
    with pytest.raises(UserError, match=r"sparsity=.* must be a share of the weights, from 0 to 1"):
        density(RESNET, sparsity)
