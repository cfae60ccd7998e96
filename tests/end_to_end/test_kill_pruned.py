"""kill -9 while weights are removed: the same command ends with the same bits as a run that was never killed."""

import json

from processes import finish, kill_when, train
from test_kill import last_step, past, saving, started

from effjax.pruning.paths import by_path
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train.experiment import SUMMARY_FILE

RUNS = ("ramp", "rigl")


def test_kills_before_in_and_after_a_ramp_leave_no_trace(tmp_path, data_dir):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(train("pruned", whole, data_dir))
    moments = [
        started("ramp"),
        past("ramp", 56),  # the ramp begins at 60
        saving("ramp"),
        past("ramp", 91),
        past("ramp", 119),  # other parameters are trained from 120 on
        past("ramp", 175),  # the ramp ends at 180
        past("rigl", 63),
        past("rigl", 175),  # the last exchange is before 180
    ]
    for moment in moments:
        assert kill_when(train("pruned", killed, data_dir), lambda moment=moment: moment(killed))
    finish(train("pruned", killed, data_dir))
    assert json.loads((killed / SUMMARY_FILE).read_text()) == json.loads((whole / SUMMARY_FILE).read_text())
    for run in RUNS:
        name = f"{run}/seed_0/metrics.jsonl"
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
        assert last_step(killed, run) == 240
        kernels = by_path(TrainedRun.open(killed / run / "seed_0").variables()["params"])
        kept = sum((leaf != 0).sum() for path, leaf in kernels.items() if path.endswith("kernel"))
        size = sum(leaf.size for path, leaf in kernels.items() if path.endswith("kernel"))
        assert kept == round(0.1 * size) if run == "ramp" else kept <= round(0.1 * size) + 1
