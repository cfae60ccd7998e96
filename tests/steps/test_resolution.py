"""A state taken over to another image size: what follows, what stays, what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy import quick_jit

from effjax import models
from effjax.errors import UserError
from effjax.images import resize
from effjax.models.swin import Swin
from effjax.steps import Objective, View, init_state, make_optimizer, make_term, make_train_step
from effjax.steps.resolution import resize_state

OPTIMIZERS = {
    "adam": make_optimizer("adam", 1e-2),
    "sgd": make_optimizer("sgd", 1e-2),
    "adamw": make_optimizer("adamw", 1e-2, clip_norm=1.0),
}
VIT = models.create("vit", 3, patch=4, dim=8, blocks=1, heads=2)


def batch_of(size):
    rng = np.random.default_rng(size)
    return {
        "image": rng.integers(0, 256, (6, size, size, 1), dtype=np.uint8),
        "label": np.arange(6, dtype=np.int32) % 3,
        "id": np.arange(6, dtype=np.int32),
    }


def objective_of(student):
    return Objective(student=student, terms={"ce": make_term("ce")}, teachers={}, view=View())


def state_at(student, optimizer, size):
    return init_state(objective_of(student), optimizer, 0, batch_of(size), ema=True)


def shapes_at(student, optimizer, size):
    return jax.eval_shape(partial(state_at, student, optimizer, size))


def tables(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [leaf for path, leaf in leaves if "position_table" in jax.tree_util.keystr(path)]


def test_training_goes_on_at_the_other_size():
    optimizer = OPTIMIZERS["adamw"]
    step = quick_jit(make_train_step(objective_of(VIT), optimizer, ema_decay=0.9))
    state, _ = step(quick_jit(partial(state_at, VIT, optimizer, 16))(), batch_of(16))
    other = resize_state(state, shapes_at(VIT, optimizer, 24))
    trained, metrics = step(other, batch_of(24))
    assert trained.step == 2
    assert np.isfinite(metrics["loss"].compute())
    for before, after in zip(tables(other), tables(trained), strict=True):
        assert before.shape == after.shape == (6, 6, 8)
        assert (before != after).any()


@pytest.mark.parametrize("size", [24, 12])
@pytest.mark.parametrize(("name", "tables_in_all"), [("adam", 4), ("sgd", 3), ("adamw", 4), ("lamb", 4)])
def test_all_tables_follow_and_nothing_else_does(name, tables_in_all, size):
    optimizer = make_optimizer(name, 1e-2, clip_norm=1.0)
    state = jax.tree.map(lambda s: np.ones(s.shape, s.dtype), shapes_at(VIT, optimizer, 16))
    shapes = shapes_at(VIT, optimizer, size)
    other = resize_state(state.replace(frozen={"teacher": np.ones(3)}), shapes)
    assert jax.tree.map(np.shape, other.replace(frozen={})) == jax.tree.map(np.shape, shapes)
    assert other.frozen["teacher"].shape == (3,)
    assert len(tables(other)) == tables_in_all
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(other.replace(frozen={})), strict=True)
    assert sum(old is not new for old, new in pairs) == tables_in_all


def test_the_tables_of_all_blocks_follow_the_windows():
    optimizer = make_optimizer("adam", 1e-2)
    swin = Swin(3, depths=(2, 1), patch=2, dim=4, heads=2)
    state = jax.tree.map(lambda s: np.ones(s.shape, s.dtype), shapes_at(swin, optimizer, 8))
    other = tables(resize_state(state, shapes_at(swin, optimizer, 12)))
    assert [table.shape for table in tables(state)] == [(3, 3, heads) for heads in (2, 2, 4)] * 4
    assert [table.shape for table in other] == [(5, 5, heads) for heads in (2, 2, 4)] * 4


def test_parameters_by_cubics_and_moments_linearly():
    optimizer = OPTIMIZERS["adam"]
    spike = jnp.zeros((4, 4, 8)).at[1, 1].set(1.0)
    state = jax.tree.map(lambda s: spike if s.shape == spike.shape else s, shapes_at(VIT, optimizer, 16))
    other = resize_state(state, shapes_at(VIT, optimizer, 32))
    for table in tables((other.params, other.ema)):
        np.testing.assert_array_equal(table, resize(spike, 8, method="cubic"))
        assert table.min() < 0
    moments = tables(other.opt_state)
    assert len(moments) == 2
    for table in moments:
        assert table.min() == 0
        np.testing.assert_array_equal(table, resize(spike, 8, method="linear"))
    # By hand, at the first corner of the spike's four: 3/4 of it along either axis.
    np.testing.assert_allclose(moments[0][2, 2], 9 / 16)


def test_a_constant_table_stays_constant_and_host_arrays_on_the_host():
    optimizer = OPTIMIZERS["sgd"]
    state = jax.tree.map(lambda s: np.full(s.shape, 0.5, s.dtype), shapes_at(VIT, optimizer, 16))
    other = resize_state(state, shapes_at(VIT, optimizer, 28))
    for table in tables(other):
        assert isinstance(table, np.ndarray)
        assert table.shape == (7, 7, 8)
        np.testing.assert_allclose(table, 0.5, rtol=1e-6)


def test_a_network_for_any_size_is_taken_over_as_it_is():
    optimizer = OPTIMIZERS["adam"]
    resnet = models.create("resnet8", 3, width=0.25)
    state = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes_at(resnet, optimizer, 16))
    other = resize_state(state, shapes_at(resnet, optimizer, 24))
    assert all(a is b for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True))


def test_what_cannot_follow_is_refused():
    optimizer = OPTIMIZERS["adam"]
    mlp = models.create("mlp", 3, widths=(5,))
    state = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes_at(mlp, optimizer, 4))
    with pytest.raises(UserError, match=r"params/student/dense1/kernel .*\(16, 5\).*\(36, 5\)") as error:
        resize_state(state, shapes_at(mlp, optimizer, 6))
    assert "\n" not in str(error.value)
    # A table of other channels is another network.
    wider = models.create("vit", 3, patch=4, dim=10, blocks=1, heads=2)
    with pytest.raises(UserError, match="at the other size"):
        resize_state(shapes_at(VIT, optimizer, 16), shapes_at(wider, optimizer, 16))
