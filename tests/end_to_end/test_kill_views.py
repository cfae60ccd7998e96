"""kill -9 of a run that trains on two views: the same command ends with the same bits as one that was never killed."""

import json

from processes import finish, kill_when, train
from test_kill import last_step, past, saving, started

from effjax.recipes.train.experiment import SUMMARY_FILE

METRICS = "taught/seed_0/metrics.jsonl"


def test_kills_in_both_stages_leave_no_trace(tmp_path, data_dir):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(train("two_views", whole, data_dir))
    moments = [started("taught"), past("taught", 49), saving("taught"), past("taught", 119), past("taught", 182)]
    for moment in moments:
        assert kill_when(train("two_views", killed, data_dir), lambda moment=moment: moment(killed))
    finish(train("two_views", killed, data_dir))
    assert json.loads((killed / SUMMARY_FILE).read_text()) == json.loads((whole / SUMMARY_FILE).read_text())
    assert (killed / METRICS).read_bytes() == (whole / METRICS).read_bytes()
    assert last_step(killed, "taught") == 240
    lines = [json.loads(line) for line in (whole / METRICS).read_text().splitlines()]
    assert any("train/loss/strong" in line for line in lines)
