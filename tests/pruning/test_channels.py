"""Channels are removed from every array that has them; zeroed instead, a network answers the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import pruning
from effjax.errors import UserError
from effjax.pruning import ChannelGroup, Member

RNG = np.random.default_rng(11)
EACH = tuple((c,) for c in range(4))


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


#: Two convolutions of 4 and 6 channels; the second has the first's, shifted by one, added; normalised, flattened, read.
PARAMS = {
    "conv1": {"kernel": normal(3, 3, 2, 4), "bias": normal(4)},
    "depthwise": {"kernel": normal(3, 3, 1, 4)},
    "conv2": {"kernel": normal(1, 1, 4, 6)},
    "norm": {"scale": normal(6), "bias": normal(6)},
    "dense": {"kernel": normal(2 * 2 * 6, 3), "bias": normal(3)},
}
STATS = {"norm": {"mean": normal(6), "var": jnp.abs(normal(6))}}
IMAGES = normal(5, 4, 4, 2)
#: Channel c of the second convolution is joined by channel c − 1 of the first; its first and last stand alone.
JOINED = ChannelGroup(
    6,
    (
        *(Member("conv1/" + name, -1, ((), *EACH, ())) for name in ("kernel", "bias")),
        Member("depthwise/kernel", 3, ((), *EACH, ())),
        Member("conv2/kernel", 2, ((), *EACH, ())),
        Member("conv2/kernel", 3, tuple((c,) for c in range(6))),
        *(Member("norm/" + name, 0, tuple((c,) for c in range(6))) for name in ("scale", "bias", "mean", "var")),
        Member("dense/kernel", 0, tuple(tuple(range(c, 24, 6)) for c in range(6))),
    ),
)


def convolved(x, kernel, groups=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def network(params, stats, shift):
    """``shift``: before and after the first convolution's channels, how many the second has more."""
    x = jax.nn.relu(convolved(IMAGES, params["conv1"]["kernel"]) + params["conv1"]["bias"])
    x = convolved(x, params["depthwise"]["kernel"], x.shape[-1])
    x = convolved(x, params["conv2"]["kernel"]) + jnp.pad(x, ((0, 0), (0, 0), (0, 0), shift))
    x = (x - stats["norm"]["mean"]) * jax.lax.rsqrt(stats["norm"]["var"] + 1e-3)
    x = jax.nn.relu(x * params["norm"]["scale"] + params["norm"]["bias"])
    x = x.reshape(len(x), 2, 2, 2, 2, -1).mean((2, 4)).reshape(len(x), -1)
    return x @ params["dense"]["kernel"] + params["dense"]["bias"]


@pytest.mark.parametrize(("kept", "shift"), [([0, 1, 3, 5], (1, 1)), ([2, 3], (0, 0)), ([1, 2, 3, 4, 5], (0, 1))])
def test_without_channels_as_with_zeroed_ones(kept, shift):
    full = network(PARAMS, STATS, (1, 1))
    zeroed = [pruning.mask_channels(tree, [JOINED], [np.array(kept)]) for tree in (PARAMS, STATS)]
    narrow = [pruning.remove_channels(tree, [JOINED], [np.array(kept)]) for tree in (PARAMS, STATS)]
    wanted = network(*zeroed, (1, 1))
    np.testing.assert_allclose(network(*narrow, shift), wanted, atol=1e-4)
    assert abs(full - wanted).max() > 0.1
    both = len(set(kept) & {1, 2, 3, 4})
    shapes = jax.tree.map(jnp.shape, narrow[0])
    assert shapes["conv1"] == {"kernel": (3, 3, 2, both), "bias": (both,)}
    assert shapes["depthwise"]["kernel"] == (3, 3, 1, both)
    assert shapes["conv2"]["kernel"] == (1, 1, both, len(kept))
    assert shapes["dense"] == {"kernel": (4 * len(kept), 3), "bias": (3,)}
    assert jax.tree.map(jnp.shape, narrow[1]) == {"norm": {"mean": (len(kept),), "var": (len(kept),)}}
    assert jax.tree.map(jnp.shape, zeroed) == jax.tree.map(jnp.shape, [PARAMS, STATS])


def test_all_channels_change_nothing():
    for change in (pruning.remove_channels, pruning.mask_channels):
        jax.tree.map(np.testing.assert_array_equal, change(PARAMS, [JOINED], [np.arange(6)]), PARAMS)
        jax.tree.map(np.testing.assert_array_equal, change(PARAMS, [], []), PARAMS)


def test_positions_of_no_group_stay_and_two_groups_may_share_an_axis():
    first = ChannelGroup(2, (Member("w", 0, ((0,), (4, 1))),))
    second = ChannelGroup(2, (Member("w", 0, ((5,), (2,))), Member("w", 1, ((0,), (1,)))))
    w = jnp.arange(12.0).reshape(6, 2)
    groups, kept = [first, second], [np.array([0]), np.array([1])]
    assert pruning.remove_channels({"w": w, "v": w}, groups, kept)["w"].tolist() == [[1.0], [5.0], [7.0]]
    zeroed = pruning.mask_channels({"w": w, "v": w}, groups, kept)
    assert zeroed["w"].tolist() == [[0, 1], [0, 0], [0, 5], [0, 7], [0, 0], [0, 0]]
    np.testing.assert_array_equal(zeroed["v"], w)


def test_moments_go_along_and_programs_may_do_it():
    kept = np.array([1, 4])
    moments = jax.tree.map(lambda w: (10 * w).astype(jnp.bfloat16), PARAMS)
    narrow = jax.jit(lambda tree: pruning.remove_channels(tree, [JOINED], [kept]))
    wanted = jax.tree.map(lambda w: (10 * w).astype(jnp.bfloat16), narrow(PARAMS))
    jax.tree.map(np.testing.assert_array_equal, narrow(moments), wanted)
    shapes = jax.eval_shape(narrow, PARAMS)
    assert jax.tree.map(lambda s: s.shape, shapes) == jax.tree.map(jnp.shape, narrow(PARAMS))


def test_groups_are_values():
    assert Member("w", 0, ((0,),)) == Member("w", 0, ((0,),))
    assert len({JOINED, ChannelGroup(6, JOINED.members)}) == 1


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="w has 1 channels, not size=2"):
        ChannelGroup(2, (Member("w", 0, ((0,),)),))
    for positions in (((0,), (0,)), ((0, 0),), ((-1,),)):
        with pytest.raises(UserError, match="must be one channel's own"):
            Member("w", 0, positions)
    group = ChannelGroup(2, (Member("w", 0, ((0,), (1,))),))
    for kept in ([], [2], [1, 0], [0, 0], [-1]):
        with pytest.raises(UserError, match=r"must be channels of a group of 2, at least one, in rising order"):
            pruning.remove_channels({"w": np.ones((2, 2))}, [group], [np.array(kept, int)])
    with pytest.raises(UserError, match="1 lists of channels for 2 groups"):
        pruning.remove_channels({"w": np.ones((2, 2))}, [group, group], [np.array([0])])
    with pytest.raises(UserError, match=r"holds none of their arrays, such as 'w'; allowed: v"):
        pruning.mask_channels({"v": np.ones((2, 2))}, [group], [np.array([0])])
    with pytest.raises(UserError, match=r"w of shape \(1, 2\) has no position 1 on axis 0"):
        pruning.mask_channels({"w": np.ones((1, 2))}, [group], [np.array([0])])
    with pytest.raises(UserError, match=r"w of shape \(2,\) has no axis 1"):
        pruning.mask_channels({"w": np.ones(2)}, [ChannelGroup(1, (Member("w", 1, ((0,),)),))], [np.array([0])])
    elsewhere = ChannelGroup(2, (Member("w", 0, ((0,), ())), Member("v", 0, ((0,), (1,)))))
    with pytest.raises(UserError, match="nothing would be left of w on axis 0"):
        pruning.remove_channels({"w": np.ones(1), "v": np.ones(2)}, [elsewhere], [np.array([1])])


def test_of_many_that_matter_alike_the_first_are_kept():
    assert pruning.most_important(np.tile([1.0, 2.0], 40), 60).tolist() == sorted([*range(1, 80, 2), *range(0, 40, 2)])
