"""What parameters went through at the end of a run, they go through whenever the run is used."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train import experiment
from effjax.recipes.train.evaluate import evaluate
from effjax.steps import SETTINGS, Setting


def rounded(params):
    """So coarsely that hardly anything is left."""
    return jax.tree.map(lambda x: x + jax.lax.stop_gradient(jnp.round(x * 4) / 4 - x), params)


def coarse(objective, on):
    return dataclasses.replace(objective, through=(*objective.through, *[rounded] * on))


def test_tests_teachers_and_evaluations_see_what_the_last_stage_saw(tmp_path, data_dir, monkeypatch):
    monkeypatch.setitem(SETTINGS, "coarse", Setting("program", apply=coarse, evaluated=True))
    config = schema.experiment()
    config.data.dir, config.eval_batch_size = str(data_dir), 250
    student = schema.run(model={"name": "mlp", "widths": (16,)}, batch_size=32)
    student.steps, student.evaluations = 40, 2
    config.runs.taught = schema.distilled(
        student, "", {"soft_target": {"weight": 1.0}}, schema.teacher_of_run("student")
    )
    student.plans.coarse = ((0.0, 0), (0.5, 1))
    config.runs.student = student
    summary = experiment.main(config.to_dict(), tmp_path)
    folder = tmp_path / "student" / "seed_0"
    found, run = summary["student"]["seeds"][0], TrainedRun.open(folder)
    assert evaluate(str(folder), "test", data_dir=str(data_dir))["accuracy"] == pytest.approx(found["test/accuracy"])
    whole = dataclasses.replace(run.network(), through=())
    batch = {"image": np.stack([example["image"] for example in run.source("test[:50]", str(data_dir))])}
    np.testing.assert_array_equal(
        whole.predict(run.effective(), batch).preds, run.network().predict(run.variables(), batch).preds
    )
    assert np.abs(whole.predict(run.variables(), batch).preds - whole.predict(run.effective(), batch).preds).max() > 0.1
    (teacher,) = summary["taught"]["seeds"][0]["teachers"].values()
    assert params_sha256(run.variables()["params"]) == found["params_sha256"]
    assert teacher == params_sha256(run.effective()) != params_sha256(run.variables())
    monkeypatch.delitem(SETTINGS, "coarse")
    with pytest.raises(UserError, match=r"not known here: coarse is not a setting; .*import what registers it"):
        run.network()
