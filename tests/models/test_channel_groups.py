"""Groups of channels against brute force: each layer's output is shifted, one channel at a time, and seen arrive."""

from collections import defaultdict

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models, pruning
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.models.depthwise import DepthwiseConv
from effjax.models.efficientnet import EfficientNet
from effjax.models.efficientnet_lite import EfficientNetLite
from effjax.models.narrow import groups_of

conv = nn.Conv


class Sums(nn.Module):
    """Two sums, concatenated, filtered channel by channel, read by two heads; one layer is used twice."""

    taps: tuple[str, ...] = ()
    two: bool = True

    @nn.compact
    def __call__(self, x, train=False, dropout_keys=None):
        def norm(name):
            return nn.BatchNorm(use_running_average=not train, name=name)

        a = nn.relu(norm("norm")(conv(4, (1, 1), name="a", use_bias=False)(x)))
        b, c = conv(4, (3, 3), name="b")(x), conv(6, (1, 1), name="c")(a)
        again = conv(6, (1, 1), name="again")
        one, other = nn.relu(a + b), again(a) * c + again(b)
        x = jnp.concatenate([one, other], -1)
        x = conv(10, (3, 3), feature_group_count=10, name="depthwise")(x)
        x = norm("late")(nn.relu(x))
        first = nn.Dense(3, name="first")(x.mean((1, 2)))
        if not self.two:
            return Outputs(first, {})
        flat = nn.avg_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
        return Outputs({"first": first, "second": nn.Dense(2, name="second")(flat)}, {})


def registered(name, **options):
    return models.create(name, 3, **options)


CASES = {
    "mlp": (registered("mlp", widths=(7, 5)), (4, 4, 2)),
    "mlp elu": (registered("mlp", widths=(7,), activation="elu"), (4, 4, 1)),
    "scnn": (registered("scnn", width=0.125), (9, 8, 1)),
    "resnet8": (registered("resnet8", width=0.25), (8, 8, 3)),
    "resnet8 of odd widths": (registered("resnet8", width=0.3), (8, 8, 3)),
    "resnet8 projected": (registered("resnet8", width=0.25, shortcut="projection"), (8, 8, 3)),
    "resnet20": (registered("resnet20", width=0.125), (8, 8, 3)),
    "resnet18": (registered("resnet18", width=0.0625), (32, 32, 3)),
    "resnet50": (registered("resnet50", width=0.0625), (32, 32, 3)),
    "densenet": (registered("densenet", depth=10, growth=4), (8, 8, 3)),
    "efficientnet_lite": (EfficientNetLite(3, width_factor=0.05, depth_factor=0.5), (8, 8, 1)),
    "efficientnet": (EfficientNet(3, width_factor=0.05, depth_factor=0.2), (8, 8, 1)),
    "sums": (Sums(), (4, 4, 2)),
    "sums of one head": (Sums(two=False), (4, 4, 2)),
}


def is_layer(module):
    return isinstance(module, nn.Conv | nn.Dense) and getattr(module, "feature_group_count", 1) == 1


def arrivals(module, variables, shape):
    """By layer and channel of its output, where a shift of that channel alone arrives: (layer, position)s.

    Nothing goes on through another layer: what a layer puts out is a number of its own.
    """
    sizes, order = {"images": shape[-1]}, []

    def run(shifts, note):
        def instead(following, args, options, context):
            name = "/".join(context.module.path)
            if context.method_name != "__call__" or not isinstance(
                context.module, nn.Conv | nn.Dense | nn.BatchNorm | DepthwiseConv
            ):
                return following(*args, **options)
            note.setdefault(name, []).append(args[0] if not isinstance(args[0], dict) else args[0]["penultimate"])
            if is_layer(context.module):
                made = jax.eval_shape(lambda: following(*args, **options))
                sizes[name] = made.shape[-1]
                return 2 + jnp.zeros(made.shape) + shifts.get(name, 0)
            if isinstance(context.module, nn.BatchNorm):
                return sum(one for one in args if one is not None)  # with the shortcut that it adds
            stride = getattr(context.module, "stride", 1)
            return args[0][:, ::stride, ::stride]

        with nn.intercept_methods(instead):
            module.apply(variables, 2 + jnp.zeros((1, *shape)) + shifts.get("images", 0))
        return note

    jax.eval_shape(lambda: run({}, {}))
    for name, size in sizes.items():
        order += [(name, channel) for channel in range(size)]
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))

    def seen(row):
        shifts = {name: jax.lax.dynamic_slice(row, (starts[name],), (size,)) for name, size in sizes.items()}
        return {name: [x.reshape(-1, x.shape[-1]).sum(0) for x in each] for name, each in run(shifts, {}).items()}

    plain, shifted = jax.jit(lambda rows: (seen(jnp.zeros(len(order))), jax.lax.map(seen, rows, batch_size=256)))(
        0.5 * jnp.eye(len(order))
    )
    found = {key: set() for key in order}
    for name, each in plain.items():
        for before, after in zip(each, shifted[name], strict=True):
            for row, position in np.argwhere(np.asarray(after) != np.asarray(before)):
                found[order[row]].add((name, int(position)))
    return found


def brute_force(module, variables, shape):
    """Sets of positions (path, axis, position) that can only be removed together."""
    below = defaultdict(list)
    for path in (path for tree in variables.values() for path in pruning.paths.by_path(tree)):
        below[path.rpartition("/")[0]].append(path)
    found = arrivals(module, variables, shape)
    layers = {name for name, _ in found} - {"images"}

    def read(name, position):
        if name in layers:
            return {(f"{name}/kernel", -2, position)}
        return {(path, -1, position) for path in below[name]}

    def made(name, channel):
        return {(path, -1, channel) for path in below[name]} or {(name, -1, channel)}

    sets = []
    for (name, channel), places in found.items():
        own = made(name, channel).union(*(read(*place) for place in places))
        apart = [one for one in sets if not one & own]
        sets = [*apart, own.union(*(one for one in sets if one & own))]
    outputs = {name for name in layers if not any(found[one] for one in found if one[0] == name)}
    ends = {"images", *outputs}
    return {
        frozenset(one)
        for one in sets
        if not any(path.rpartition("/")[0] in ends or path in ends for path, axis, _ in one if axis == -1)
    }


def drawn(module, shape):
    """Variables at random, no statistic what it is at the start."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        array = rng.normal(0, 0.3 if len(leaf.shape) < 2 else np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape)
        return (np.abs(array) + 0.5 if path[-1].key in ("var", "scale") else array).astype(np.float32)

    return dict(jax.tree_util.tree_map_with_path(draw, shapes))


@pytest.mark.parametrize("case", CASES)
def test_groups_are_what_arrives_where(case):
    module, shape = CASES[case]
    variables = drawn(module, shape)
    groups = groups_of(module, shape)
    ours = [
        {(member.path, member.axis, position) for member in group.members for position in member.positions[channel]}
        for group in groups
        for channel in range(group.size)
    ]
    assert len({frozenset(one) for one in ours}) == len(ours)
    assert {frozenset(one) for one in ours} == brute_force(module, variables, shape)


@pytest.mark.parametrize("multiple_of", [1, 2])
@pytest.mark.parametrize("case", [case for case in CASES if "sums" not in case])
def test_narrow_answers_as_the_whole_with_these_channels_zero(case, multiple_of):
    module, shape = CASES[case]
    variables, groups = drawn(module, shape), groups_of(module, shape)
    narrow = models.Narrow(module, 0.5, multiple_of)
    counts = pruning.channel_counts(groups, 0.5, multiple_of=multiple_of)
    rng = np.random.default_rng(1)
    kept = [np.sort(rng.choice(group.size, count, replace=False)) for group, count in zip(groups, counts, strict=True)]
    cut = {name: pruning.remove_channels(tree, groups, kept) for name, tree in variables.items()}
    masked = {name: pruning.mask_channels(tree, groups, kept) for name, tree in variables.items()}
    images = rng.normal(size=(3, *shape)).astype(np.float32)
    expected = jax.jit(module.apply)(masked, images).logits
    found = jax.jit(narrow.apply)(cut, images).logits
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())
    assert models.count_params(cut["params"]) < 0.75 * models.count_params(variables["params"])


#: What stands between a layer of 4 channels, ``[B, 2, 3, 4]``, and one that reads them; and how often each lies there.
BETWEEN = {
    "turned": (lambda x: x.swapaxes(1, 2), 1),
    "padded": (lambda x: jnp.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)), constant_values=1.0), None),
    "padded with zeros": (lambda x: jnp.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0))), 1),
    "cut": (lambda x: x[:, 1:, ::2], 1),
    "softmax of rows": (lambda x: nn.softmax(x, 1), 1),
    "largest of rows": (lambda x: x.max(1, keepdims=True), 1),
    "in rows": (lambda x: jnp.concatenate([x, x], 1), 1),
    "twice": (lambda x: jnp.concatenate([x, 2 * x], -1), 2),
    "flat": (lambda x: x.reshape(-1, 1, 1, 24), 6),
    "times two": (lambda x: x * 2.0 + 1.0, 1),
    "channels turned": (lambda x: x.swapaxes(2, 3), None),
    "channels cut": (lambda x: x[..., :2], None),
    "softmax": (nn.softmax, None),
    "largest": (lambda x: jnp.concatenate([x.max(-1, keepdims=True), x[..., :1]], -1), None),
    "channels parted": (lambda x: x.reshape(-1, 2, 6, 2), None),
    "by another each": (lambda x: x * np.arange(1.0, 5.0, dtype=np.float32), None),
    "another more each": (lambda x: x + np.arange(1.0, 5.0, dtype=np.float32), None),
    "by another each later": (lambda x: nn.relu(x) * np.arange(1.0, 5.0, dtype=np.float32), None),
    "by one and the same": (lambda x: x * np.full(x.shape[-1], 2.0, np.float32), 1),
    "and their sum": (lambda x: x + x.sum(-1, keepdims=True), None),
    "logarithm": (lambda x: jnp.log(x * x + 1.0), 1),
}


class Between(nn.Module):
    """All of them."""

    taps: tuple[str, ...] = ()

    @nn.compact
    def __call__(self, x, train=False, dropout_keys=None):
        made = {name: change(nn.Dense(4, name=f"{name}: made")(x)) for name, (change, _) in BETWEEN.items()}
        return Outputs({name: nn.Dense(2, name=f"{name}: read")(found) for name, found in made.items()}, {})


def test_channels_are_followed_through_what_keeps_them_apart_and_no_further():
    groups = groups_of(Between(), (2, 3, 1))
    found = {}
    for group in groups:
        for member in group.members:
            name, _, leaf = member.path.partition(": ")
            if leaf == "read/kernel":
                found[name] = [positions[:2] for positions in member.positions], member.axis, len(member.positions[0])
    assert {name: (axis, times) for name, (_, axis, times) in found.items()} == {
        name: (-2, times) for name, (_, times) in BETWEEN.items() if times
    }
    assert found["turned"][0] == [(0,), (1,), (2,), (3,)]
    assert found["twice"][0] == found["flat"][0] == [(0, 4), (1, 5), (2, 6), (3, 7)]


def test_transformers_are_narrow_between_their_dense_layers_alone():
    module = registered("vit", dim=12, blocks=1, heads=3)
    (group,) = groups_of(module, (8, 8, 1))
    assert {member.path for member in group.members} == {
        "block1/mlp/dense1/kernel",
        "block1/mlp/dense1/bias",
        "block1/mlp/dense2/kernel",
    }


def test_what_is_normalised_over_its_channels_stays():
    class Standardised(nn.Module):
        taps: tuple[str, ...] = ()

        @nn.compact
        def __call__(self, x, train=False, dropout_keys=None):
            x = nn.relu(conv(4, (1, 1), name="first")(x))
            kernel = self.param("kernel", nn.initializers.normal(), (4, 4))
            x = jnp.dot(x.mean((1, 2)), kernel - kernel.mean(0))
            return Outputs(nn.Dense(2, name="last")(x), {})

    module = Standardised()
    variables = drawn(module, (2, 2, 1))
    assert models.channel_groups(models.deploy(module, variables, (2, 2, 1))) == ()
    with pytest.raises(UserError, match="Standardised: no channel of this network can be removed"):
        models.Narrow(module, 0.5).init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
