"""Steps that remove weights: exactly as many as the plan says, and 0 wherever they lie in the state."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import count_compilations
from test_step_devices import AXIS, over, shards
from toy import CLASSES, linear_teacher, make_batch, make_objective, quick_jit, teacher_matrix

from effjax.errors import UserError
from effjax.pruning import erk
from effjax.pruning.paths import by_path
from effjax.steps import init_state, make_optimizer, make_term, make_train_step
from effjax.steps.pruning import Pruning
from effjax.steps.sparsity import Level, Sparsity

BATCH, STEPS = make_batch(), 8
RAMP = Sparsity(((0, Level(0.0)), (2, Level(0.8, ramp=True)), (6, Level(0.8))), STEPS)
CONSTANT = Sparsity(((0, Level(0.75)),), STEPS)
OPTIMIZERS = {
    "sgd": ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "clip_norm": 0.5}),
    "adam": ("adam", {}),
    "adamw": ("adamw", {"weight_decay": 0.1}),
    "lamb": ("lamb", {"weight_decay": 0.1}),
}


def pruned(sparsity=RAMP, model="mlp", every=1, **options):
    objective = make_objective(model, trainable=options.pop("trainable", ".*"), terms=options.pop("terms", ("ce",)))
    return dataclasses.replace(objective, pruning=Pruning(sparsity, every=every, **options))


def run(objective, optimizer=None, steps=STEPS, **options):
    """The states of a run, from that before its first step on; one compiled program."""
    optimizer = optimizer or make_optimizer("sgd", 0.1)
    state = quick_jit(lambda: init_state(objective, optimizer, 3, BATCH, ema="ema_decay" in options))()
    state = state.replace(frozen={name: jnp.asarray(teacher_matrix(BATCH)) for name in objective.teachers})
    step, states = quick_jit(make_train_step(objective, optimizer, **options)), [state]
    with count_compilations() as compiled:
        for number in range(steps):
            state, _ = step(state, BATCH)
            states.append(state)
            if number == 0:
                compiled.clear()
    assert not compiled
    return states


def kept_share(masks):
    kept = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(masks)])
    return int(kept.sum()), kept.size


def assert_zero_where_removed(state):
    kept = by_path(state.masks)
    zeros = 0
    for tree in (state.params, state.ema, state.opt_state):
        for path, leaf in by_path(tree).items():
            name = path.partition("student/")[2]
            if name in kept:
                np.testing.assert_array_equal(np.asarray(leaf)[~np.asarray(kept[name])], 0.0)
                zeros += 1
    return zeros


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_removed_is_0_in_parameters_average_and_moments(name):
    optimizer, options = OPTIMIZERS[name]
    states = run(pruned(), make_optimizer(optimizer, 0.05, **options), ema_decay=0.5, accumulate=2)
    moments = 1 if name == "sgd" else 2
    for before, state in itertools.pairwise(states):
        assert assert_zero_where_removed(state) == 2 * (2 + moments)
        jax.tree.map(lambda new, old: np.testing.assert_array_equal(new & ~old, False), state.masks, before.masks)
        kept, size = kept_share(state.masks)
        assert kept == round((1 - float(RAMP(int(state.step)))) * size)
    assert float(RAMP(STEPS)) == np.float32(0.8)
    assert set(by_path(states[-1].masks)) == {"classifier/kernel", "dense1/kernel"}


def test_it_is_gradient_descent_on_what_magnitudes_leave():
    """An independent loop: plain steps, masks by sorting."""
    states, plain = run(pruned()), make_objective("mlp")
    optimizer = make_optimizer("sgd", 0.1)
    step, state = quick_jit(make_train_step(plain, optimizer)), states[0].replace(masks=())
    kept = {path: np.ones(leaf.shape, bool) for path, leaf in by_path(states[0].masks).items()}
    for now in range(1, STEPS + 1):
        state, _ = step(state, BATCH)
        student = {path: np.array(leaf) for path, leaf in by_path(state.params["student"]).items()}
        scores = np.concatenate([np.where(kept[path], np.abs(student[path] * kept[path]), -1).ravel() for path in kept])
        order = np.argsort(-scores, kind="stable")
        chosen = np.zeros(scores.size, bool)
        chosen[order[: round((1 - float(RAMP(now))) * scores.size)]] = True
        parts = np.split(chosen, np.cumsum([leaf.size for leaf in kept.values()])[:-1])
        kept = {path: part.reshape(kept[path].shape) for path, part in zip(kept, parts, strict=True)}
        params = jax.tree_util.tree_map_with_path(
            lambda path, leaf, kept=kept: leaf * kept.get("/".join(key.key for key in path[1:]), 1), state.params
        )
        state = state.replace(params=params)
        for path, leaf in by_path(states[now].masks).items():
            np.testing.assert_array_equal(leaf, kept[path], err_msg=f"{path} at step {now}")
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.params, states[now].params)


def test_masks_are_looked_at_every_so_many_steps_and_at_corners():
    states = run(pruned(every=3))
    changed = [kept_share(a.masks) != kept_share(b.masks) for a, b in itertools.pairwise(states)]
    assert [step + 1 for step, one in enumerate(changed) if one] == [3, 6]
    assert kept_share(states[6].masks) == kept_share(states[-1].masks)
    jax.tree.map(np.testing.assert_array_equal, states[6].masks, states[-1].masks)


def test_sparse_from_the_first_state_on_by_scope():
    for scope in ("layer", "erk"):
        (state,) = run(pruned(CONSTANT, scope=scope), steps=0, ema_decay=0.5)
        assert_zero_where_removed(state)
        kernels = by_path(state.masks)
        shapes = {path: leaf.shape for path, leaf in kernels.items()}
        shares = erk(shapes, 0.75) if scope == "erk" else dict.fromkeys(shapes, 0.25)
        for path, leaf in kernels.items():
            assert int(leaf.sum()) == round(float(shares[path]) * leaf.size)


@pytest.mark.parametrize("renewal", ["rigl", "set"])
def test_weights_are_exchanged_at_one_sparsity_until_a_share_of_the_run(renewal):
    optimizer = make_optimizer("adam", 0.05)
    states = run(pruned(CONSTANT, renewal=renewal, scope="layer", every=2, until=0.75), optimizer, ema_decay=0.5)
    first = {path: int(leaf.sum()) for path, leaf in by_path(states[0].masks).items()}
    moved = []
    for before, state in itertools.pairwise(states):
        assert assert_zero_where_removed(state) == 2 * 4
        new, old = by_path(state.masks), by_path(before.masks)
        assert {path: int(leaf.sum()) for path, leaf in new.items()} == first
        came = {path: np.asarray(new[path] & ~old[path]) for path in new}
        moved.append(any(leaf.any() for leaf in came.values()))
        for tree in (state.params, state.ema, state.opt_state):  # what comes has neither a value nor a past
            for path, leaf in by_path(tree).items():
                if (name := path.partition("student/")[2]) in came:
                    np.testing.assert_array_equal(np.asarray(leaf)[came[name]], 0.0)
    assert moved == [False, True, False, True, False, False, False, False]  # at 2 and 4; from 6 on no more


def test_rigl_leaves_alone_what_is_not_trained():
    states = run(pruned(CONSTANT, renewal="rigl", every=1, scope="layer", trainable="student/classifier/.*"))
    first, last = by_path(states[0].masks), by_path(states[-1].masks)
    np.testing.assert_array_equal(first["dense1/kernel"], last["dense1/kernel"])
    assert (first["classifier/kernel"] != last["classifier/kernel"]).any()


def test_what_is_not_trained_is_pruned_all_the_same():
    states = run(pruned(trainable="student/classifier/.*"))
    kept, size = kept_share(states[-1].masks)
    assert kept == round(0.2 * size)
    assert_zero_where_removed(states[-1])
    first, last = (state.params["student"]["dense1"]["kernel"] for state in (states[0], states[-1]))
    np.testing.assert_array_equal(np.where(last == 0, 0, first), last)


@pytest.mark.parametrize("renewal", ["gradual", "sr_ste"])
def test_two_of_four_hold_in_every_group(renewal):
    sparsity = Sparsity(((0, Level(0.0)), (4, Level(0.5))), STEPS)
    states = run(pruned(sparsity, "resnet8", structure="2:4", renewal=renewal, every=1))
    assert kept_share(states[3].masks)[0] == kept_share(states[3].masks)[1]
    for path, leaf in by_path(states[-1].masks).items():
        groups = np.moveaxis(np.asarray(leaf), -2, -1).reshape(-1, leaf.shape[-2])
        for at in range(0, groups.shape[1], 4):
            group = groups[:, at : at + 4]
            np.testing.assert_array_equal(group.sum(1), min(2, group.shape[1]), err_msg=path)
    assert_zero_where_removed(states[-1])


def test_sr_ste_moves_removed_weights_by_the_gradient_of_the_masked_ones():
    decay, rate = 0.1, 0.5
    objective = pruned(CONSTANT, renewal="sr_ste", decay=decay, until=0.5)
    states = run(objective, make_optimizer("sgd", rate, momentum=0.0))
    # From a state whose removed weights are not 0, one step of w − γ (g(w̃) + λ (1 − mask) w).
    student = jax.tree.map(lambda x: x + 0.3, states[1].params["student"])
    state = states[1].replace(params={"student": student})
    step = quick_jit(make_train_step(objective, make_optimizer("sgd", rate, momentum=0.0)))
    new, _ = step(state, BATCH)
    masked = by_path(state.eval_variables["params"])
    gradient = by_path(
        jax.grad(lambda student: make_objective("mlp").evaluate(
            {"student": student}, {}, {}, BATCH, state.seed, state.step)[0]
        )(state.eval_variables["params"])
    )  # fmt: skip
    for path, kept in by_path(state.masks).items():
        weights = np.asarray(by_path(student)[path])
        np.testing.assert_array_equal(masked[path], np.where(kept, weights, 0))
        expected = weights - rate * (gradient[path] + decay * np.where(kept, 0, weights))
        np.testing.assert_allclose(by_path(new.params["student"])[path], expected, atol=1e-6)
    removed = ~np.asarray(states[3].masks["dense1"]["kernel"])
    assert np.any(np.asarray(states[3].params["student"]["dense1"]["kernel"])[removed] != 0)
    for state in states[4:]:
        assert_zero_where_removed(state)
        jax.tree.map(np.testing.assert_array_equal, state.masks, states[4].masks)


def test_saliency_looks_at_gradients():
    sparsity = Sparsity(((0, Level(0.0)), (1, Level(0.5))), STEPS)
    states = run(pruned(sparsity, score="saliency"), steps=1)
    state = states[0]
    gradients = jax.grad(
        lambda params: make_objective("mlp").evaluate(params, {}, {}, BATCH, state.seed, state.step)[0]
    )(state.params)
    new = jax.tree.map(lambda w, g: w - 0.1 * g, state.params, gradients)["student"]
    scores = jax.tree.map(lambda w, g: np.abs(w * g), new, gradients["student"])
    joined = np.concatenate([scores[layer]["kernel"].ravel() for layer in ("classifier", "dense1")])
    kept = np.concatenate([states[1].masks[layer]["kernel"].ravel() for layer in ("classifier", "dense1")])
    assert kept.sum() == joined.size // 2
    assert joined[kept].min() >= joined[~kept].max()


def test_of_several_terms_and_a_teacher_only_the_student_is_pruned():
    terms = {"ce": make_term("ce"), "soft_target": make_term("soft_target")}
    states = run(pruned(terms=terms, dense="student/classifier/kernel"))
    assert set(by_path(states[-1].masks)) == {"dense1/kernel"}
    np.testing.assert_array_equal(states[-1].frozen["teacher"], teacher_matrix(BATCH))
    assert np.all(states[-1].params["student"]["classifier"]["kernel"] != 0)
    assert states[-1].frozen["teacher"].shape[1] == CLASSES
    assert linear_teacher(states[-1].frozen["teacher"], BATCH).logits.shape == (8, CLASSES)


def test_without_pruning_the_state_holds_no_masks():
    objective, optimizer = make_objective("mlp"), make_optimizer("sgd", 0.1)
    state = quick_jit(lambda: init_state(objective, optimizer, 3, BATCH))()
    assert state.masks == ()
    new, metrics = quick_jit(make_train_step(objective, optimizer))(state, BATCH)
    assert new.masks == ()
    assert "sparsity" not in metrics


def test_the_share_that_is_removed_is_measured():
    objective, optimizer = pruned(CONSTANT), make_optimizer("sgd", 0.1)
    state = quick_jit(lambda: init_state(objective, optimizer, 3, BATCH))()
    _, metrics = quick_jit(make_train_step(objective, optimizer))(state, BATCH)
    kept, size = kept_share(state.masks)
    np.testing.assert_allclose(metrics["sparsity"].compute(), 1 - kept / size, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"renewal": "rigl", "scope": "erk"}, {"score": "saliency"}], ids=str)
def test_devices_together_remove_what_one_removes(options):
    sparsity = CONSTANT if "renewal" in options else Sparsity(((0, Level(0.0)), (1, Level(0.6))), STEPS)
    objective, optimizer = pruned(sparsity, **options), make_optimizer("adam", 0.05)
    states = run(objective, optimizer, 2)
    new, _ = over(make_train_step(objective, optimizer, axis_name=AXIS), 4)(states[0], shards(BATCH, 4))
    jax.tree.map(np.testing.assert_array_equal, new.masks, states[1].masks)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), new.params, states[1].params)


BAD = {
    "nothing": (lambda: Pruning(Sparsity(((0, Level(0.0)),), 8)), r"sparsity is 0 from the first step to the last"),
    "falls": (
        lambda: Sparsity(((0, Level(0.5)), (3, Level(0.4))), 8),
        r"falls from 0\.5 to 0\.4 at step 3: .* come",
    ),
    "ramp of groups": (lambda: Pruning(RAMP, structure="2:4"), r"structure='2:4' is 0 or 0\.5, at once"),
    "other share": (lambda: Pruning(CONSTANT, structure="2:4"), r"structure='2:4' is 0 or 0\.5, at once"),
    "scope of groups": (lambda: Pruning(structure="2:4", scope="erk"), r"scope='erk': 2:4 compares within its groups"),
    "structure": (lambda: Pruning(structure="wieghts"), r"structure='wieghts'; allowed: .*did you mean 'weights'"),
    "ramp of rigl": (
        lambda: Pruning(RAMP, renewal="rigl"),
        r"renewal='rigl' exchanges .* at one sparsity",
    ),
    "score of rigl": (lambda: Pruning(CONSTANT, renewal="rigl", score="saliency"), r"score='saliency'.*magnitudes"),
    "saliency": (lambda: Pruning(CONSTANT, score="saliency"), r"score='saliency' needs a gradient first"),
    "until": (lambda: Pruning(RAMP, renewal="sr_ste", until=0.5), r"reached at step 6, masks are renewed until step 4"),
    "renewal": (lambda: Pruning(renewal="rigel"), r"renewal='rigel'; allowed: .*did you mean 'rigl'"),
    "dense": (lambda: run(pruned(dense=".*"), steps=0), r"dense='\.\*' leaves nothing to prune"),
    "dense typo": (
        lambda: run(pruned(dense="student/dens1/kernel"), steps=0),
        r"dense='student/dens1/kernel' matches no parameter; allowed: .*did you mean 'student/dense1/kernel'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_go_together_is_said_in_one_line(name):
    make, said = BAD[name]
    with pytest.raises(ValueError, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_model_without_kernels_has_nothing_to_prune():
    with pytest.raises(UserError, match=r"^plans\.sparsity: the model has nothing to prune"):
        Pruning(CONSTANT).paths({"bias": jnp.ones(3)})


@pytest.mark.parametrize("value", [-0.1, 1, 1.0, "cubic 1.0", "cubic -0.5", "linear 0.5", True, None, "0.9"])
def test_no_other_value_is_a_level(value):
    assert Level.read(value) is None


def test_a_ramp_rises_and_comes_to_what_it_says():
    for final in (0.1, 0.3, 0.7, 0.9, 0.95):
        ramp = Sparsity(((0, Level(0.05)), (3, Level(final, ramp=True)), (50, Level(final))), 60)
        values = [float(ramp(step)) for step in range(60)]
        assert values == sorted(values)
        assert values[50] == np.float32(final)
        assert values[2] == values[3] == np.float32(0.05)
        assert (ramp.corners, ramp.settled, ramp.start) == ((0, 3, 50, 60), 50, 0.05)
