"""Several students in one program that learn from one teacher are what they are one by one."""

import dataclasses

import jax
import numpy as np
import pytest
import small_configs

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train import experiment as distill

SEEDS = (0, 1)


def experiment(data_dir, *, together: bool, cached: str, seeds=(0,)):
    config = small_configs.faults()
    config.data.dir, config.num_seeds, config.seeds_together = str(data_dir), len(SEEDS), together
    config.runs.teacher.num_seeds = 1
    student = config.runs.student
    student.teachers.teacher = schema.teacher_of_run("teacher", cached=cached, seeds=seeds)
    student.plans, student.pacing, student.record = {}, {}, False
    return config.to_dict()


@pytest.mark.parametrize("cached", ["", "float32"])
def test_together_and_one_by_one(tmp_path, data_dir, cached):
    one_by_one = distill.main(experiment(data_dir, together=False, cached=cached), tmp_path / "alone")
    together = distill.main(experiment(data_dir, together=True, cached=cached), tmp_path / "together")
    assert [seed["seed"] for seed in together["teacher"]["seeds"]] == [0]
    assert together["teacher"] == one_by_one["teacher"]
    run = TrainedRun.open(tmp_path / "together" / "student" / "together", several=True)
    stacked, best = run.variables()["params"], dataclasses.replace(run, best=True).variables()["params"]
    for member, seed in enumerate(SEEDS):
        alone = TrainedRun.open(tmp_path / "alone" / "student" / f"seed_{seed}").variables()["params"]
        jax.tree.map(
            lambda x, y, member=member: np.testing.assert_allclose(x[member], y, rtol=1e-4, atol=1e-6), stacked, alone
        )
        for which, several in (("last", stacked), ("best", best)):
            own = TrainedRun.open(tmp_path / "together" / "student" / f"seed_{seed}", which).variables()["params"]
            jax.tree.map(lambda x, y, member=member: np.testing.assert_array_equal(x[member], y), several, own)
        assert together["student"]["seeds"][member]["teachers"] == one_by_one["student"]["seeds"][member]["teachers"]


def test_each_with_a_teacher_of_its_own_is_refused(tmp_path, data_dir):
    with pytest.raises(UserError, match=r"config\.runs\.student\.teachers\.teacher: networks .* name one by seeds="):
        distill.main(experiment(data_dir, together=True, cached="", seeds=()), tmp_path)
