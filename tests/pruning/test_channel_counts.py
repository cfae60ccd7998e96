"""How many channels of each group are kept: rounded by layers, what is shared counted once."""

import numpy as np
import pytest

from effjax import pruning
from effjax.errors import UserError
from effjax.pruning import ChannelGroup, Member


def group(size, *places):
    """Channels that lie in kernels from some position on."""
    return ChannelGroup(
        size, tuple(Member(f"{name}/kernel", -1, tuple((start + c,) for c in range(size))) for name, start in places)
    )


@pytest.mark.parametrize(
    ("size", "keep", "multiple_of", "count"),
    [
        *((64, 0.5, 8, 32), (64, 0.7, 8, 48), (20, 0.5, 8, 8), (20, 0.9, 8, 20), (12, 0.01, 8, 8), (7, 0.5, 8, 7)),
        *((24, 0.5, 8, 16), (48, 0.5, 16, 32), (5, 0.5, 1, 3), (5, 0.01, 1, 1), (64, 1.0, 8, 64), (13, 1, 8, 13)),
    ],
)
def test_rounded(size, keep, multiple_of, count):
    assert pruning.rounded_count(size, keep, multiple_of=multiple_of) == count
    assert pruning.channel_counts([group(size, ("a", 0))], keep, multiple_of=multiple_of) == (count,)


def test_zeros_on_two_sides_keep_equal_shares():
    """16, 32 and 64 channels, each within the next: at ¾ they are 16, 24 and 48."""
    first = group(16, ("a", 0), ("b", 8), ("c", 24))
    sides = [group(8, ("b", 0), ("c", 16)), group(8, ("b", 24), ("c", 40))]
    outer = [group(16, ("c", 0)), group(16, ("c", 48))]
    counts = pruning.channel_counts([first, *sides, *outer], 0.75)
    assert counts == (16, 4, 4, 12, 12)
    assert pruning.channel_counts([first, *sides, *outer], 0.5) == (8, 4, 4, 8, 8)
    assert pruning.channel_counts([first, *sides, *outer], 0.5, multiple_of=1) == (8, 4, 4, 8, 8)


@pytest.mark.parametrize(("shared", "both"), [("a", "b"), ("b", "a")])
def test_the_smaller_layer_is_rounded_first_whatever_it_is_called(shared, both):
    """Of 16 channels 11.2 are kept, that is 8; so that of 32, of which 24 are, 16 are left of the other half."""
    groups = [group(16, (shared, 0), (both, 0)), group(16, (both, 16))]
    assert pruning.channel_counts(groups, 0.7) == (8, 16)


def test_of_an_odd_rest_the_second_side_has_more():
    first, sides = group(4, ("a", 0), ("b", 2)), [group(2, ("b", 0)), group(3, ("b", 6))]
    assert pruning.channel_counts([first, *sides], 0.9, multiple_of=1) == (4, 2, 2)
    assert pruning.channel_counts([first, *sides], 0.8, multiple_of=1) == (3, 2, 2)
    assert pruning.channel_counts([first, *sides], 0.6, multiple_of=1) == (2, 1, 2)


def test_nothing_is_ever_empty():
    shared = group(32, ("a", 0), ("b", 0))
    assert pruning.channel_counts([shared, group(8, ("b", 32))], 0.05) == (8, 8)
    assert pruning.channel_counts([shared, group(8, ("b", 32))], 0.01, multiple_of=1) == (1, 1)


@pytest.mark.parametrize("seed", range(5))
def test_random_groups(seed):
    rng = np.random.default_rng(seed)
    names, used, groups = "abcd", dict.fromkeys("abcd", 0), []
    for _ in range(6):
        size, places = int(rng.integers(1, 5)) * 8, rng.choice(list(names), rng.integers(1, 4), replace=False)
        groups.append(group(size, *((name, used[name]) for name in places)))
        for name in places:
            used[name] += size
    for keep in (0.2, 0.5, 0.9):
        counts = pruning.channel_counts(groups, keep)
        assert all(0 < count <= one.size for count, one in zip(counts, groups, strict=True))
        for name in names:
            held = [c for c, one in zip(counts, groups, strict=True) if any(m.path[0] == name for m in one.members)]
            assert sum(held) % 8 == 0
    assert pruning.channel_counts(groups, 1.0) == tuple(one.size for one in groups)


@pytest.mark.parametrize("given", [{"keep_fraction": 0}, {"keep_fraction": 1.1}, {"multiple_of": 0}])
def test_bad_arguments(given):
    with pytest.raises(UserError, match=rf"{next(iter(given))}={next(iter(given.values()))} must be"):
        pruning.channel_counts([group(8, ("a", 0))], **{"keep_fraction": 0.5, **given})
