"""kill -9 of a run that remembers its examples: the same command ends with the same bits."""

import json

import numpy as np
from processes import finish, kill_when, train
from test_kill import past, saving, started

from effjax.recipes.train.experiment import SUMMARY_FILE
from effjax.runtime import checkpoints as stored


def memory_of(workdir, run="taught"):
    """What the last checkpoint holds of it."""
    folder = workdir / run / "seed_0" / "checkpoints"
    step = stored.steps(folder)[-1]
    return stored.read_training(folder, step)["memory"]


def test_kills_leave_no_trace_in_what_is_remembered(tmp_path, data_dir):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(train("remembering", whole, data_dir))
    for moment in (started("taught"), saving("taught"), past("taught", 63), past("taught", 150)):
        assert kill_when(train("remembering", killed, data_dir), lambda moment=moment: moment(killed))
    finish(train("remembering", killed, data_dir))
    assert json.loads((killed / SUMMARY_FILE).read_text()) == json.loads((whole / SUMMARY_FILE).read_text())
    name = "taught/seed_0/metrics.jsonl"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()
    ours, theirs = memory_of(killed)["crd"], memory_of(whole)["crd"]
    assert set(ours) == {"student", "teacher", "student_z", "teacher_z", "order", "starts", "counts"}
    for part, array in ours.items():
        np.testing.assert_array_equal(array, theirs[part])
    assert ours["student_z"] > 0


def test_kills_leave_no_trace_in_what_steps_choose_by(tmp_path, data_dir):
    """Before the losses are known, among them, and where the last stage trains on all again."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(train("choosing", whole, data_dir))
    for moment in (started("chosen"), past("chosen", 63), past("chosen", 200)):
        assert kill_when(train("choosing", killed, data_dir), lambda moment=moment: moment(killed))
    finish(train("choosing", killed, data_dir))
    name = "chosen/seed_0/metrics.jsonl"
    assert (killed / name).read_bytes() == (whole / name).read_bytes()
    ours, theirs = memory_of(killed, "chosen"), memory_of(whole, "chosen")
    np.testing.assert_array_equal(ours["selection"]["loss"], theirs["selection"]["loss"])
    np.testing.assert_array_equal(ours["weighting"], theirs["weighting"])
    assert np.isfinite(ours["selection"]["loss"]).sum() == 200  # of every example
