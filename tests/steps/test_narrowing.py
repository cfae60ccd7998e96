"""A state follows its network to fewer channels: whatever the optimiser, however often."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from effjax import models, pruning
from effjax.errors import UserError
from effjax.models.narrow import groups_of
from effjax.steps import (
    NetworkTeacher,
    Objective,
    Term,
    init_state,
    make_optimizer,
    make_term,
    make_train_step,
    stack_members,
)
from effjax.steps.narrowing import Channels, is_channels, narrow_state
from effjax.steps.optimizers import OPTIMIZERS
from effjax.steps.settings import SETTINGS, Subject

SHAPE = (8, 8, 1)
WIDE = models.create("resnet8", 3, width=0.5)
RNG = np.random.default_rng(4)
BATCH = {
    "image": jnp.asarray(RNG.uniform(size=(4, *SHAPE)), jnp.float32),
    "label": jnp.array([0, 1, 2, 0]),
    "id": jnp.arange(4),
}


def objective_of(module, terms=("ce",), **options):
    return Objective(
        module, {name: make_term(name) for name in terms} if isinstance(terms, tuple) else terms, **options
    )


def state_of(module, optimizer, terms=("ce",), **options):
    return init_state(objective_of(module, terms), optimizer, 1, BATCH, ema=True, **options)


def shapes_of(module, optimizer, terms=("ce",)):
    return jax.eval_shape(lambda: state_of(module, optimizer, terms))


def narrowed(state, module, value, optimizer, shape=SHAPE):
    channels = Channels.of(value)
    after = channels.of_network(module)
    return narrow_state(state, shapes_of(after, optimizer), module, channels, shape), after


def random_like(tree):
    return jax.tree.map(
        lambda x: RNG.normal(size=x.shape).astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_everything_of_a_state_follows_and_it_trains_on(name):
    optimizer = make_optimizer(name, 0.1, clip_norm=1.0)
    state = random_like(state_of(WIDE, optimizer))
    state = state.replace(best=state.eval_variables)
    groups = groups_of(WIDE, SHAPE)
    counts = pruning.channel_counts(groups, 0.5, multiple_of=2)
    importances = [pruning.channel_importance(state.params["student"], group) for group in groups]
    kept = [np.sort(np.argsort(-np.asarray(one))[:count]) for one, count in zip(importances, counts, strict=True)]
    channels = Channels(0.5, "l2", 2)
    module = channels.of_network(WIDE)
    shapes = shapes_of(module, optimizer)
    shapes = shapes.replace(best=shapes.eval_variables)
    found = narrow_state(state, shapes, WIDE, channels, SHAPE)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, shapes)
    expected = pruning.remove_channels(state.params["student"], groups, kept)
    jax.tree.map(np.testing.assert_array_equal, found.params["student"], expected)
    for tree, whole in ((found.ema, state.ema), (found.best, state.best)):
        own, other = (one["student"] if "student" in one else one["params"] for one in (tree, whole))
        jax.tree.map(np.testing.assert_array_equal, own, pruning.remove_channels(other, groups, kept))
    stats = pruning.remove_channels(state.model_state["batch_stats"], groups, kept)
    jax.tree.map(np.testing.assert_array_equal, found.model_state["batch_stats"], stats)
    step = jax.jit(make_train_step(objective_of(module), optimizer, ema_decay=0.5))
    _, metrics = step(found.replace(best=()), BATCH)
    assert np.isfinite(metrics["loss"].compute())


def test_step_by_step_and_the_whole_way():
    optimizer = make_optimizer("adam", 0.1)
    state, module = random_like(state_of(WIDE, optimizer)), WIDE
    sizes = []
    for value in ((0.75, "l2", 2), (0.5, "l2", 2), (0.25, "scale", 2)):
        before = state
        state, module = narrowed(state, module, value, optimizer)
        sizes.append(models.count_params(state.params["student"]))
        # What is left are channels of what was there.
        stem = before.params["student"]["stem_conv"]["kernel"]
        for channel in np.moveaxis(state.params["student"]["stem_conv"]["kernel"], -1, 0):
            assert any((channel == one).all() for one in np.moveaxis(stem, -1, 0))
    assert sizes == sorted(sizes, reverse=True)
    assert len({*sizes}) == 3
    assert module == Channels(0.25, "scale", 2).of_network(WIDE)
    same, again = narrowed(state, module, (0.25, "scale", 2), optimizer)
    assert again == module
    jax.tree.map(np.testing.assert_array_equal, same, state)
    with pytest.raises(UserError, match=r"channels left and would have \d+: channels that were removed do not come"):
        narrowed(state, module, (0.5, "l2", 2), optimizer)
    with pytest.raises(UserError, match="channels left and would have"):
        narrowed(state, module, 1.0, optimizer)


def most_important(params, groups, multiple_of):
    """Half of the channels of each group."""
    counts = pruning.channel_counts(groups, 0.5, multiple_of=multiple_of)
    return [
        pruning.most_important(pruning.channel_importance(params, group), count)
        for group, count in zip(groups, counts, strict=True)
    ]


def test_it_answers_as_the_whole_network_with_these_channels_zero():
    optimizer = make_optimizer("sgd", 0.1)
    state = state_of(WIDE, optimizer)
    found, module = narrowed(state, WIDE, (0.5, "l2", 4), optimizer)
    groups = groups_of(WIDE, SHAPE)
    params = state.params["student"]
    kept = most_important(params, groups, 4)
    masked = {
        "params": pruning.mask_channels(params, groups, kept),
        "batch_stats": pruning.mask_channels(state.model_state["batch_stats"], groups, kept),
    }
    variables = {"params": found.params["student"], **found.model_state}
    expected = WIDE.apply(masked, BATCH["image"]).logits
    np.testing.assert_allclose(module.apply(variables, BATCH["image"]).logits, expected, atol=1e-5)


def test_shapes_alone_are_enough():
    optimizer = make_optimizer("adam", 0.1)
    shapes = shapes_of(WIDE, optimizer)
    found = jax.eval_shape(lambda state: narrowed(state, WIDE, (0.5, "l2", 2), optimizer)[0], shapes)
    wanted = shapes_of(Channels(0.5, "l2", 2).of_network(WIDE), optimizer)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, wanted)


def hinted(module, term, teacher, optimizer=None):
    objective = Objective(module, {"hint": term}, {"teacher": NetworkTeacher(teacher)})
    frozen = {"teacher": models.init(teacher, jax.random.key(0), SHAPE)}
    state = init_state(objective, optimizer or make_optimizer("adam", 0.1), 1, BATCH, frozen=frozen, ema=True)
    return state.replace(frozen=frozen), objective


def loss_of(objective, params, model_state, frozen):
    """In training, where what is normalised is so by the batch."""
    return float(jax.jit(objective.evaluate)(params, model_state, frozen, BATCH, jnp.uint32(1), jnp.int32(0))[0])


def regressor_rows(whole, narrow):
    """Which of a regressor's inputs have stayed."""
    whole, narrow = (np.asarray(one["hint"]["regressor"]["kernel"]) for one in (whole, narrow))
    whole, narrow = (one.reshape(-1, one.shape[-1]) for one in (whole, narrow))
    return [np.flatnonzero((whole == row).all(-1)).item() for row in narrow]


LARGE = models.create("resnet8", 3)
PLAIN = models.create("mlp", 3, widths=(16,))
AT = {"student_tap": "stage2", "teacher_tap": "stage2"}


@pytest.mark.parametrize(
    ("student", "teacher", "term"),
    [
        (WIDE, LARGE, make_term("hint", student_tap="stage2", teacher_tap="stage2")),
        (WIDE, LARGE, make_term("hint", student_tap="stage1", teacher_tap="stage2")),
        (WIDE, PLAIN, make_term("hint", student_tap="stage2", teacher_tap="penultimate")),
        (WIDE, LARGE, make_term("hint", student_tap="stage2/block1", teacher_tap="stage2")),
        (WIDE, LARGE, make_term("contrastive", student_tap="stage2", teacher_tap="penultimate")),
        (WIDE, WIDE, make_term("hint", student_tap="stage2", teacher_tap="stage2")),
        (WIDE, WIDE, make_term("contrastive")),
        *((WIDE, LARGE, make_term("hint", kind=kind, **AT)) for kind in ("ickd", "srd", "pad")),
    ],
    ids=["map", "kernel", "flat", "block", "contrastive", "same shape", "same vector", "ickd", "srd", "pad"],
)
def test_what_a_term_learns_follows_the_channels(student, teacher, term):
    before, objective = hinted(student, term, teacher)
    before = random_like(before).replace(model_state=before.model_state, frozen=before.frozen)
    channels = Channels(0.5, "l2", 2)
    module = channels.of_network(student)
    shapes = jax.eval_shape(lambda: hinted(module, term, teacher)[0])
    found = narrow_state(before, shapes, student, channels, SHAPE, {"hint": term})
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, shapes)
    groups = groups_of(student, SHAPE)
    own = before.params["student"]
    kept = most_important(own, groups, 2)
    masked = {**before.params, "student": pruning.mask_channels(own, groups, kept)}
    _, narrow = hinted(module, term, teacher)
    expected = loss_of(objective, masked, before.model_state, before.frozen)
    assert loss_of(narrow, found.params, found.model_state, found.frozen) == pytest.approx(expected, rel=2e-5)
    if "regressor" in before.params.get("hint", {}):
        np.testing.assert_array_equal(
            regressor_rows(before.params, found.params), regressor_rows(before.ema, found.ema)
        )
        moments = optax.tree.get(before.opt_state, "mu"), optax.tree.get(found.opt_state, "mu")
        np.testing.assert_array_equal(regressor_rows(before.params, found.params), regressor_rows(*moments))


def boundaries(*taps):
    return {"kind": "ab", "student_taps": taps, "teacher_taps": taps}


@pytest.mark.parametrize(
    ("teacher", "term", "message"),
    [
        (WIDE, boundaries("stage2"), "params/hint/layer1/norm/scale is not there and would have"),
        (LARGE, boundaries("stage1", "stage2"), "params/hint/layer1/regressor/kernel has shape"),
        (LARGE, {"kind": "ft", **AT}, "params/hint/translator/encoder1/kernel has shape"),
    ],
    ids=["no connector before", "several layers", "a translator"],
)
def test_terms_that_cannot_follow_are_refused(teacher, term, message):
    term = make_term("hint", **term)
    before, _ = hinted(WIDE, term, teacher)
    channels = Channels(0.5, "l2", 2)
    shapes = jax.eval_shape(lambda: hinted(channels.of_network(WIDE), term, teacher)[0])
    with pytest.raises(UserError, match=f"{message}.* cannot follow it"):
        narrow_state(before, shapes, WIDE, channels, SHAPE, {"hint": term})


SMALL = models.create("mlp", 3, widths=(8,))
SMALL_MAPS = models.create("scnn", 3, width=0.125)


@pytest.mark.parametrize(
    ("student", "teacher", "tap"),
    [
        (SMALL, models.create("mlp", 3, widths=(5,)), "dense1"),
        (SMALL, SMALL, "dense1"),
        (SMALL_MAPS, SMALL_MAPS, "conv2"),
    ],
    ids=["narrower", "same vector", "same map"],
)
def test_a_regressor_keeps_the_rows_of_its_channels(student, teacher, tap):
    """With as many channels as its teacher a student has none, and begins with the identity's rows."""
    term = make_term("hint", student_tap=tap, teacher_tap=tap)
    before = random_like(hinted(student, term, teacher)[0])
    channels = Channels(0.5, "l2", 2)
    shapes = jax.eval_shape(lambda: hinted(channels.of_network(student), term, teacher)[0])
    found = narrow_state(before, shapes, student, channels, SHAPE, {"hint": term})
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, shapes)
    groups = groups_of(student, SHAPE)
    all_kept = most_important(before.params["student"], groups, 2)
    (kept,) = (k for group, k in zip(groups, all_kept, strict=True) if group.members[0].path == f"{tap}/kernel")
    fresh = {"regressor": {"kernel": np.eye(8), "bias": np.zeros(8)}}
    moments, narrow = (optax.tree.get(one.opt_state, "mu") for one in (before, found))
    for own, whole, at_first in (
        (found.params, before.params, 1),
        (found.ema, before.ema, 1),
        (narrow, moments, 0),  # the optimiser has not seen it yet
    ):
        expected = whole.get("hint") or jax.tree.map(lambda x, times=at_first: times * x, fresh)
        kernel = np.asarray(own["hint"]["regressor"]["kernel"])
        np.testing.assert_array_equal(kernel.reshape(kernel.shape[-2:]), expected["regressor"]["kernel"][kept])
        np.testing.assert_array_equal(own["hint"]["regressor"]["bias"], expected["regressor"]["bias"])


def test_what_cannot_follow_is_refused():
    def init(key, inputs):
        return {"table": jnp.zeros((inputs.student.taps["stage2"].shape[-1],) * 2)}

    term = Term(lambda inputs: inputs.student.preds.mean(-1), student_taps=("stage2",), init=init)
    optimizer, channels = make_optimizer("adam", 0.1), Channels(0.5, "l2", 2)
    before, shapes = (
        state_of(WIDE, optimizer, {"own": term}),
        shapes_of(channels.of_network(WIDE), optimizer, {"own": term}),
    )
    with pytest.raises(UserError, match=r"^params/own/table has shape .* term without parameters"):
        narrow_state(before, shapes, WIDE, channels, SHAPE, {"own": term})


def test_networks_without_scales_are_refused_by_scale():
    module, optimizer = models.create("mlp", 3, widths=(8,)), make_optimizer("sgd", 0.1)
    with pytest.raises(UserError, match="the group has no scale of a normalisation"):
        narrowed(state_of(module, optimizer), module, (0.5, "scale", 2), optimizer)


def test_members_keep_channels_of_their_own():
    module, optimizer = models.create("mlp", 3, widths=(8,)), make_optimizer("sgd", 0.1)
    states = [random_like(state_of(module, optimizer)) for _ in range(2)]
    alone = [narrowed(state, module, (0.5, "l2", 2), optimizer)[0] for state in states]
    first, second = (one.params["student"]["dense1"]["kernel"] for one in alone)
    assert first.shape == second.shape == (64, 4)
    assert not np.array_equal(first, second)
    assert stack_members(alone).params["student"]["dense1"]["kernel"].shape == (2, 64, 4)


@pytest.mark.parametrize("value", [(0.5,), [0.5, "l1"], (1, "scale", 16)])
def test_values_of_plans(value):
    assert is_channels(value)
    assert SETTINGS["channels"].check(tuple(value), Subject(objective_of(WIDE), SHAPE)) is None


@pytest.mark.parametrize("value", [(), 0.5, (0,), (1.5,), (0.5, "taylor"), (0.5, "l2", 0), (0.5, "l2", 8, 1), ("a",)])
def test_what_is_no_value(value):
    assert not is_channels(value)


def test_what_a_plan_refuses():
    subject = Subject(objective_of(WIDE), SHAPE)
    assert "'l3' is not a measure of channels" in SETTINGS["channels"].check((0.5, "l3"), subject)
    with pytest.raises(UserError, match="keep_fraction=2 must be"):
        SETTINGS["channels"].check(2, subject)
