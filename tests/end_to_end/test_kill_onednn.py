"""Runs whose convolutions oneDNN computes: killed they end with the same bits, and all in them is computed by it."""

import json

import pytest
from processes import finish, kill_when, train
from test_kill import last_step, past, started

from effjax.errors import UserError
from effjax.models import onednn
from effjax.recipes.train.experiment import SUMMARY_FILE

METRICS = "taught/seed_0/metrics.jsonl"


@pytest.fixture(autouse=True)
def installed():
    try:
        onednn.check_usable()
    except UserError as error:
        pytest.skip(str(error))


def test_kills_leave_no_trace(tmp_path, data_dir):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(train("onednn", whole, data_dir))
    for moment in (started("taught"), past("taught", 49), past("taught", 182)):
        assert kill_when(train("onednn", killed, data_dir), lambda moment=moment: moment(killed))
    said = finish(train("onednn", killed, data_dir))
    assert json.loads((killed / SUMMARY_FILE).read_text()) == json.loads((whole / SUMMARY_FILE).read_text())
    assert (killed / METRICS).read_bytes() == (whole / METRICS).read_bytes()
    assert last_step(killed, "taught") == 240
    assert "a dispatch" in said
    assert "unrolled" not in said
    process = train("onednn", killed, data_dir, "--config.runs.taught.convolutions=xla")
    _, refused = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "run.convolutions" in refused


def test_it_is_refused_where_each_device_would_compute_the_whole_batch(tmp_path, data_dir):
    process = train("onednn", tmp_path / "jit", data_dir, devices=2)
    _, refused = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "config.runs.teacher.convolutions='onednn': a program of several devices" in refused
    finish(train("onednn", tmp_path / "pmap", data_dir, "--config.backend=pmap", devices=2))
