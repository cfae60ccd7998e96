"""A cached teacher says what the live one says."""

import numpy as np
import small_configs

from effjax.recipes import config as schema
from effjax.recipes.runs import Experiment


def test_cached_teacher_trains_the_same_student(tmp_path, data_dir):
    config = small_configs.plain()
    config.data.dir = str(data_dir)
    config.runs.cached = config.runs.distilled.copy_and_resolve_references()
    config.runs.cached.teachers.teacher = schema.teacher_of_run("teacher", cached="float32")
    done = {run.name: run for run in Experiment(config.to_dict(), tmp_path).train()}
    live, cached = done["distilled"].variables()["params"], done["cached"].variables()["params"]
    assert live.keys() == cached.keys()
    for layer in live:
        np.testing.assert_allclose(live[layer]["kernel"], cached[layer]["kernel"], atol=1e-5)


def test_earlier_run_as_teacher(tmp_path, data_dir):
    config = small_configs.plain()
    config.data.dir = str(data_dir)
    del config.runs["distilled"]
    list(Experiment(config.to_dict(), tmp_path / "first").train())
    student = config.runs.student.copy_and_resolve_references()
    student.terms.update({"soft_target": {"weight": 1.0}})
    folder = str(tmp_path / "first" / "teacher" / "seed_0")
    student.teachers.teacher = schema.teacher_of_checkpoint(folder, step="best")
    config.runs = type(config.runs)({"distilled": student})
    (done,) = Experiment(config.to_dict(), tmp_path / "second").train()
    assert done.last_step == 8


def test_runs_come_after_their_teachers():
    teach = {"teachers": {"teacher": {"run": "b"}}}
    runs = {"a": teach, "b": {"teachers": {"teacher": {"run": "c"}}}, "c": {"teachers": {}}}
    assert schema.in_order(runs) == ["c", "b", "a"]
