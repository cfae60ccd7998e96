"""What was trained, opened from its folder alone: one network, or a seed's of all that trained in one program."""

import numpy as np
import pytest

from effjax.errors import UserError
from effjax.recipes.build.trained import TrainedRun
from effjax.runtime.checkpoints import Checkpoints
from effjax.steps import TrainState

MODEL = {"name": "mlp", "widths": [2]}
STAGES = [{"start": 0, "stop": 4, "bits": None}, {"start": 4, "stop": 8, "bits": None}]


def leave(folder, seed, *steps, best=None, **identity):
    """What a training leaves there; of several seeds, each network's numbers are its seed, and 100 more at its best."""
    numbers, several = np.asarray(seed, np.float32), isinstance(seed, list)
    identity = {"seed": seed, "num_classes": 3, "run": {"model": MODEL}, "stages": STAGES, **identity}
    manager = Checkpoints(folder / "checkpoints", identity)
    for step in steps:
        state = TrainState(
            step=np.full(numbers.shape, step, np.int32),
            seed=np.uint32(seed),
            params={"student": {"scale": numbers + step / 10}},
            model_state={},
            opt_state={"count": np.int32(step)},
            best={"params": {"scale": numbers + 100}} if several else (),
        )
        manager.save(state, {"best": best})
    manager.wait()
    manager.close()
    return folder


def scale(run):
    return run.variables()["params"]["scale"]


def test_the_last_or_the_best_is_opened(tmp_path):
    folder = leave(tmp_path / "seed_3", 3, 2, 4, best={"step": 2, "value": 0.5})
    last, best = TrainedRun.open(folder), TrainedRun.open(str(folder), "best")
    assert (last, best) == (TrainedRun(folder, 4), TrainedRun(folder, 2))
    assert [float(scale(run)) for run in (last, best)] == pytest.approx([3.4, 3.2])
    assert last.identity["num_classes"] == last.model().num_classes == 3
    assert last.task.name == "classification"


def test_a_seed_is_found_in_what_all_seeds_trained_together(tmp_path):
    together = leave(tmp_path / "together", [3, 7], 2, 4, best={"step": [2, 4], "value": [0.5, 0.6]})
    for member, seed in enumerate((3, 7)):
        for which, number in (("last", seed + 0.4), ("best", seed + 100)):
            run = TrainedRun.open(tmp_path / f"seed_{seed}", which)
            assert run == TrainedRun(together, 4, member=member, best=which == "best")
            assert float(scale(run)) == pytest.approx(number)
    np.testing.assert_allclose(scale(TrainedRun.open(together, several=True)), [3.4, 7.4])
    with pytest.raises(UserError, match=f"^{together} holds several networks that trained in one program; .*seed_"):
        TrainedRun.open(together)


@pytest.mark.parametrize("name", ["seed_5", "seed_", "seed_x", "other"])
def test_what_is_no_seed_of_theirs_is_not_found_there(tmp_path, name):
    leave(tmp_path / "together", [3, 7], 2)
    with pytest.raises(UserError, match=f"no checkpoint in {tmp_path / name}/checkpoints"):
        TrainedRun.open(tmp_path / name)


def test_a_seed_that_has_trained_alone_is_its_own(tmp_path):
    leave(tmp_path / "together", [3, 7], 2)
    alone = leave(tmp_path / "seed_3", 3, 6)
    assert TrainedRun.open(alone) == TrainedRun(alone, 6)


def test_an_ensemble_of_one_seed_is_several_networks(tmp_path):
    folder = leave(tmp_path / "seed_3", 3, 2, best={"step": [2, 2], "value": [0.5, 0.6]})
    with pytest.raises(UserError, match="holds several networks that trained in one program"):
        TrainedRun.open(folder)
    assert TrainedRun.open(folder, several=True).step == 2


@pytest.mark.parametrize(("step", "said"), [(4, ""), (5, "learnt_blur"), (9, "learnt_blur")])
def test_a_network_is_as_it_was_in_its_stage(tmp_path, step, said):
    """A step after the last stage, as of a run that was made longer, is of the last."""
    stages = [{"start": 0, "stop": 4}, {"start": 4, "stop": 8, "learnt_blur": 2}]
    run = TrainedRun.open(leave(tmp_path / "run", 0, step, stages=stages))
    if not said:
        assert run.model().num_classes == 3
        return
    with pytest.raises(UserError, match=f"^{tmp_path}/run was trained by a plan that is not known.*{said}.*; import"):
        run.model()
