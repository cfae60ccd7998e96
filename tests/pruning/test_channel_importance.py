"""What channels are worth, by hand and in loops; how many are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import pruning
from effjax.errors import UserError
from effjax.numerics import Unusable
from effjax.pruning import ChannelGroup, Member
from effjax.pruning.importance import KINDS

RNG = np.random.default_rng(13)
GROUP = ChannelGroup(
    3,
    (
        Member("conv/kernel", -1, ((2,), (0,), (1,))),
        Member("norm/scale", 0, ((0,), (1,), (2,))),
        Member("norm/mean", 0, ((0,), (1,), (2,))),
        Member("dense/kernel", 0, ((0, 3), (), (2, 5, 1))),
    ),
)


def tree():
    return {
        "conv": {"kernel": jnp.asarray(RNG.normal(size=(3, 3, 2, 3)), jnp.float32)},
        "norm": {"scale": jnp.asarray(RNG.normal(size=3), jnp.float32)},
        "dense": {"kernel": jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)},
    }


PARAMS, GRADIENTS = tree(), tree()


def reference(params, gradients, kind):
    totals = []
    for channel in range(3):
        total = 0.0
        for member in GROUP.members:
            layer, name = member.path.split("/")
            if name not in params[layer] or (kind == "scale" and name != "scale"):
                continue
            w, g = (np.moveaxis(np.asarray(t[layer][name], np.float64), member.axis, 0) for t in (params, gradients))
            for position in member.positions[channel]:
                for weight, gradient in zip(w[position].ravel(), g[position].ravel(), strict=True):
                    of_kind = {"l2": weight**2, "taylor": (weight * gradient) ** 2}
                    total += of_kind.get(kind, abs(weight))
        totals.append(total)
    return np.array(totals) / np.mean(totals)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_reference(kind):
    found = pruning.channel_importance(PARAMS, GROUP, kind=kind, gradients=GRADIENTS)
    np.testing.assert_allclose(found, reference(PARAMS, GRADIENTS, kind), rtol=1e-5)
    compiled = jax.jit(lambda p, g: pruning.channel_importance(p, GROUP, kind=kind, gradients=g))
    np.testing.assert_allclose(compiled(PARAMS, GRADIENTS), found, rtol=1e-5)
    np.testing.assert_allclose(found.mean(), 1.0, rtol=1e-6)


def test_by_hand():
    group = ChannelGroup(2, (Member("a", 1, ((0,), (1,))), Member("b", 0, ((0, 2), (1,)))))
    params = {"a": jnp.array([[1.0, -2.0], [3.0, 0.0]]), "b": jnp.array([1.0, -1.0, -2.0])}
    gradients = {"a": jnp.array([[2.0, 1.0], [0.0, 5.0]]), "b": jnp.array([0.0, 1.0, -1.0])}
    for kind, sums in (("l1", [7.0, 3.0]), ("l2", [15.0, 5.0]), ("taylor", [8.0, 5.0])):
        found = pruning.channel_importance(params, group, kind=kind, gradients=gradients)
        np.testing.assert_allclose(found, np.array(sums) / np.mean(sums), rtol=1e-6)


def test_weights_that_are_0_are_worth_nothing():
    nothing = jax.tree.map(jnp.zeros_like, PARAMS)
    assert pruning.channel_importance(nothing, GROUP).tolist() == [0.0, 0.0, 0.0]


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(UserError, match=r"kind='l3'; allowed: l1, l2, scale, taylor"):
        pruning.channel_importance(PARAMS, GROUP, kind="l3")
    with pytest.raises(UserError, match="kind='taylor' needs gradients="):
        pruning.channel_importance(PARAMS, GROUP, kind="taylor")
    with pytest.raises(UserError, match=r"the group has no scale of a normalisation: \['conv/kernel'\]"):
        pruning.channel_importance(PARAMS, ChannelGroup(3, GROUP.members[:1]), kind="scale")
    with pytest.raises(UserError, match="the group has no member in this tree"):
        pruning.channel_importance({"other": jnp.ones(3)}, GROUP)


@pytest.mark.parametrize(
    ("size", "fraction", "multiple_of", "count"),
    [
        (64, 0.5, 8, 32),
        (64, 0.55, 8, 32),  # 35.2: nearer to 32
        (64, 0.6, 8, 40),
        (64, 0.5625, 8, 40),  # 36 is as near to 32: the larger
        (64, 0.01, 8, 8),
        (64, 1.0, 8, 64),
        (20, 1.0, 8, 20),
        (20, 0.95, 8, 20),  # 19: all are nearer than 16
        (20, 0.85, 8, 16),
        (6, 0.1, 8, 6),
        (8, 0.1, 8, 8),
        (1, 0.5, 8, 1),
        (10, 0.34, 1, 3),
        (10, 0.01, 1, 1),
    ],
)
def test_how_many(size, fraction, multiple_of, count):
    importance = RNG.normal(size=size)
    kept = pruning.kept_channels(importance, fraction, multiple_of=multiple_of)
    assert kept.dtype == np.int32
    assert kept.tolist() == sorted(np.argsort(-importance)[:count].tolist())
    assert pruning.kept_channels(np.ones(size), fraction, multiple_of=multiple_of).tolist() == list(range(count))


def test_eight_is_the_default():
    assert pruning.kept_channels(jnp.arange(32.0), 0.5).tolist() == list(range(16, 32))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keep_fraction": 0.0}, r"keep_fraction=0.0 must be above 0"),
        ({"keep_fraction": 1.1}, r"keep_fraction=1.1"),
        ({"keep_fraction": 0.5, "multiple_of": 0}, r"multiple_of=0 must be a whole number"),
        ({"keep_fraction": 0.5, "multiple_of": 1.5}, r"multiple_of=1.5"),
    ],
)
def test_how_many_is_refused(given, said):
    with pytest.raises(UserError, match=said):
        pruning.kept_channels(np.ones(4), **given)


def test_importance_that_is_not_finite_is_refused():
    with pytest.raises(Unusable, match="importance: 1 values are not finite"):
        pruning.kept_channels(np.array([1.0, np.nan]), 0.5)
