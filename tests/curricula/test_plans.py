"""Plans and stages: every method's plan, their composition, alignment, and the hash of it all."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.curricula import Plan, Stage, fixres, stage_at, stages
from effjax.pruning.paths import path_name

ESKD = [[0, ["ce", "soft_target"]], [0.5, ["ce"]]]
EFFICIENTTRAIN = [[0, 160], [0.6, 192], [0.8, 224]]


def ranges(plan, *settings):
    return [(stage.start, stage.stop, *(stage[name] for name in settings)) for stage in plan]


def test_distillation_is_one_stage():
    plan = stages(100, {"terms": [[0, ["ce", "soft_target"]]]})
    assert plan == (Stage(0, 100, (("terms", ("ce", "soft_target")),)),)
    assert stages(100, [Plan("terms", [(0.0, ("ce", "soft_target"))])]) == plan


def test_early_stopped_distillation():
    assert ranges(stages(100, {"terms": ESKD}), "terms") == [
        (0, 50, ("ce", "soft_target")),
        (50, 100, ("ce",)),
    ]


def test_fitnets():
    plan = stages(
        1000,
        {
            "terms": [[0, ["hint"]], [0.3, ["ce", "soft_target"]]],
            "trainable": [[0, "student/stage1/.*"], [0.3, ".*"]],
        },
    )
    assert ranges(plan, "terms", "trainable") == [
        (0, 300, ("hint",), "student/stage1/.*"),
        (300, 1000, ("ce", "soft_target"), ".*"),
    ]


def test_efficienttrain():
    expected = [(0, 180, 160), (180, 240, 192), (240, 300, 224)]
    assert ranges(stages(300, {"image_size": EFFICIENTTRAIN}), "image_size") == expected


def test_bengios_curriculum():
    plan = stages(256, {"data": [[0, "easy"], [0.5, "hard"]]})
    assert ranges(plan, "data") == [(0, 128, "easy"), (128, 256, "hard")]


def test_no_plan_is_one_stage_without_settings():
    assert stages(7, {}) == (Stage(0, 7, ()),)
    assert stages(7, {})[0].get("terms", "all") == "all"


def test_plans_compose_to_the_union_of_their_breakpoints():
    plan = stages(100, {"image_size": EFFICIENTTRAIN, "terms": ESKD})
    both = ("ce", "soft_target")
    assert ranges(plan, "image_size", "terms") == [
        (0, 50, 160, both),
        (50, 60, 160, ("ce",)),
        (60, 80, 192, ("ce",)),
        (80, 100, 224, ("ce",)),
    ]
    assert [stage.num_steps for stage in plan] == [50, 10, 20, 20]
    assert stages(100, [Plan("terms", ESKD), Plan("image_size", EFFICIENTTRAIN)]) == plan  # whatever their order


def test_boundaries_are_aligned_to_the_nearest_multiple():
    plan = stages(100, {"a": [[0, 0], [0.29, 1], [0.52, 2]]}, multiple_of=16)
    assert ranges(plan, "a") == [
        (0, 32, 0),
        (32, 48, 1),
        (48, 100, 2),
    ]  # 29 -> 32, 52 -> 48; the end is the end


def test_of_pieces_that_fall_on_one_step_the_latest_wins():
    assert ranges(stages(100, {"a": [[0, 0], [0.5, 1], [0.504, 2]]}), "a") == [(0, 50, 0), (50, 100, 2)]
    assert ranges(stages(2, {"a": [[0, 0], [0.1, 1]]}), "a") == [(0, 2, 1)]
    assert ranges(stages(10, {"a": [[0, 0], [0.99, 1]]}), "a") == [(0, 10, 0)]


def test_equal_neighbours_are_one_stage():
    assert ranges(stages(10, {"a": [[0, 1], [0.3, 1], [0.6, 2], [0.8, 2]]}), "a") == [(0, 6, 1), (6, 10, 2)]


def test_plan_gives_the_value_that_holds():
    plan = Plan("a", [(0, "x"), (0.5, "y")])
    assert [plan(p) for p in (0, 0.25, 0.4999, 0.5, 0.75, 1.0)] == ["x", "x", "x", "y", "y", "y"]


@pytest.mark.parametrize(
    ("pieces", "complaint"),
    [
        ([], "must start at 0"),
        ([(0.1, 1)], "must start at 0"),
        ([(0, 1), (0.5, 2), (0.5, 3)], "increase strictly"),
        ([(0, 1), (0.5, 2), (0.4, 3)], "increase strictly"),
        ([(0, 1), (-0.1, 2)], "increase strictly"),
        ([(0, 1), (float("nan"), 2)], "increase strictly"),
        ([(0, 1), (1.0, 2)], "below 1"),
        ([(0, 1), (30, 2)], "below 1"),
        ([(0, {"a": 1})], "hashable"),
        ([(0, [1, {"a": 1}])], "hashable"),
        ([(0,)], "pairs"),
        ([0.5], "pairs"),
        (["ce"], "pairs"),
        ([("start", 1)], "pairs"),
        ("ce", "pairs"),
        (3, "pairs"),
    ],
)
def test_bad_plans_are_refused_by_name(pieces, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        stages(10, {"size": pieces})
    assert "'size'" in str(caught.value)


def test_two_plans_for_one_setting_and_no_steps_are_refused():
    with pytest.raises(ValueError, match="two plans"):
        stages(10, [Plan("a", [(0.0, 1)]), Plan("a", [(0.0, 2)])])
    for total in (0, -3):
        with pytest.raises(ValueError, match="positive"):
            stages(total, {})


def test_unknown_setting_is_a_key_error():
    with pytest.raises(KeyError):
        stages(10, {"a": [[0, 1]]})[0]["b"]


def random_plans(seed):
    """Plans whose values count their pieces, so that a value tells how far the plan has come."""
    rng = np.random.default_rng(seed)
    total, multiple = int(rng.integers(1, 120)), int(rng.integers(1, 9))
    plans = []
    for i in range(rng.integers(1, 4)):
        starts = np.unique(np.concatenate([[0.0], rng.random(rng.integers(0, 6))]))
        plans.append(Plan(f"setting{i}", [(start, k) for k, start in enumerate(starts)]))
    return total, multiple, plans


@pytest.mark.parametrize("seed", range(40))
def test_stages_tile_the_run_and_follow_their_plans(seed):
    total, multiple, plans = random_plans(seed)
    cut = stages(total, plans, multiple_of=multiple)
    assert cut[0].start == 0
    assert cut[-1].stop == total
    for before, after in itertools.pairwise(cut):
        assert before.stop == after.start
        assert before.settings != after.settings
        assert after.start % multiple == 0
    assert all(stage.num_steps > 0 for stage in cut)
    slack = multiple / 2 + 1e-9
    for step in range(total):
        stage = cut[stage_at(cut, step)]
        assert stage.start <= step < stage.stop
        for plan in plans:  # no breakpoint moves by more than half a multiple
            assert plan((step - slack) / total) <= stage[plan.setting] <= plan((step + slack) / total)
    assert cut[stage_at(cut, total)] == cut[-1]


def test_unaligned_stages_are_exact_where_breakpoints_are_whole_steps():
    plan = Plan("a", [(k / 20, k) for k in range(0, 20, 3)])
    cut = stages(20, [plan])
    assert [cut[stage_at(cut, step)]["a"] for step in range(20)] == [plan((step + 0.01) / 20) for step in range(20)]


def test_fixres_fits_classifier_and_normalisations_alone():
    sizes, parts = fixres(20, 28)
    assert sizes.pieces == ((0.0, 20), (0.9, 28))
    params = {
        "student": jax.eval_shape(models.create("resnet8", 10).init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))[
            "params"
        ]
    }
    paths = [path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    fitted = {path for path in paths if re.fullmatch(parts(0.95), path)}
    assert fitted == {path for path in paths if not path.endswith("kernel") or "classifier" in path}
    assert all(re.fullmatch(parts(0.5), path) for path in paths)
