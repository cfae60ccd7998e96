"""Checkpoints: what is saved comes back to the bit; what is damaged is left out, what is another run's refused."""

import contextlib
import logging
import pathlib
import shutil

import jax
import numpy as np
import optax
import pytest
from disks import no_file_longer_than

from effjax.errors import UserError
from effjax.runtime import checkpoints as stored
from effjax.runtime.checkpoints import Checkpoints
from effjax.steps import TrainState

IDENTITY = {"run": {"batch_size": 16, "model": {"name": "mlp"}}, "stages": [{"start": 0, "stop": 9}]}
META = {"best": None, "window": {}}


def state_at(
    step: int, optimizer: optax.GradientTransformation | None = None, *, ema: bool = True, width: int = 5
) -> TrainState:
    """A state whose every number is a function of the step."""
    rng = np.random.default_rng(step)
    kernel, bias = rng.normal(size=(width, 3)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    params = {"student": {"dense": {"kernel": kernel, "bias": bias}}}
    optimizer = optimizer or optax.adam(1e-3)
    opt_state = jax.tree.map(lambda x: np.full(np.shape(x), step, np.asarray(x).dtype), optimizer.init(params))
    return TrainState(
        step=np.int32(step),
        seed=np.uint32(7),
        params=params,
        model_state={"batch_stats": {"norm": {"mean": rng.normal(size=3).astype(np.float32)}}} if ema else {},
        opt_state=opt_state,
        ema=jax.tree.map(lambda x: x / 2, params) if ema else (),
        records={"seen": rng.normal(size=500)} if width > 5 else (),
    )


def assert_equal(actual: TrainState, expected: TrainState) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)


def save(directory: pathlib.Path, *steps: int, keep: int = 2, values=None, **options) -> None:
    manager = Checkpoints(directory, IDENTITY, keep=keep)
    for step in steps:
        best = max((s for s in values or () if s <= step), key=values.get) if values else None
        noted = None if best is None else {"step": best, "value": values[best]}
        manager.save(state_at(step, **options), {"best": noted, "window": {"loss": [float(step), 1.0]}})
    manager.wait()
    manager.close()


def save_and_wait(manager: Checkpoints, state: TrainState) -> None:
    manager.save(state, META)
    manager.wait()


def restore(directory: pathlib.Path, identity=IDENTITY, **options) -> stored.Restored | None:
    manager = Checkpoints(directory, identity)
    try:
        return manager.restore(lambda _: state_at(0, **options))
    finally:
        manager.close()


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": optax.adam(1e-3)},
        {"optimizer": optax.sgd(0.1), "ema": False},  # no state of the optimiser, of the model, no average
        {"optimizer": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.linear_schedule(1, 0, 9)))},
    ],
    ids=["adam-ema", "sgd-nothing", "chain"],
)
def test_round_trip(tmp_path, options):
    save(tmp_path, 3, **options)
    restored = restore(tmp_path, **options)
    assert restored.step == 3
    assert_equal(restored.state, state_at(3, **options))
    assert restored.meta["window"] == {"loss": [3.0, 1.0]}


def test_notes_are_those_of_the_moment_of_saving(tmp_path, monkeypatch):
    handed, real = [], stored.ocp.args.JsonSave
    monkeypatch.setattr(stored.ocp.args, "JsonSave", lambda item: handed.append(item) or real(item))
    manager = Checkpoints(tmp_path, IDENTITY)
    meta = {"best": None, "window": {"loss": [1.0, 1.0]}}
    manager.save(state_at(1), meta)
    # As the loop does, at some time before the background has written what it was handed.
    meta["window"]["loss"][0] = 2.0
    meta["window"]["accuracy"] = [3.0, 1.0]
    manager.wait()
    manager.close()
    assert [item["window"] for item in handed] == [{"loss": [1.0, 1.0]}]
    assert restore(tmp_path).meta["window"] == {"loss": [1.0, 1.0]}


def test_nothing_to_restore(tmp_path):
    assert restore(tmp_path / "new") is None


def test_keeps_the_newest_and_the_best(tmp_path):
    save(tmp_path, 1, 2, 3, 4, 5, 6, keep=2, values={1: 0.5, 2: 0.9})
    assert stored.steps(tmp_path) == [2, 5, 6]


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    directory = tmp_path_factory.mktemp("two")
    save(directory, 3, 6, values={3: 0.5, 6: 0.7})
    return directory


def files(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())


@pytest.mark.parametrize("length", ["half", "empty", "missing"])
def test_damage_to_any_file_is_noticed_or_harmless(two_checkpoints, tmp_path, caplog, length):
    damaged = files(two_checkpoints / "6")
    assert len(damaged) > 5
    fell_back = 0
    for number, name in enumerate(damaged):
        copy = tmp_path / str(number)
        shutil.copytree(two_checkpoints, copy)
        path = copy / "6" / name
        if length == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 if length == "half" else 0])
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="effjax"):
            restored = restore(copy)
        assert_equal(restored.state, state_at(restored.step))
        assert restored.meta["window"] == {"loss": [float(restored.step), 1.0]}, name
        if restored.step == 3:
            fell_back += 1
            warned = [record.getMessage() for record in caplog.records if record.name == "effjax"]
            assert len(warned) == 1, (name, warned)
            assert f"checkpoint 6 in {copy}" in warned[0]
            assert stored.steps(copy) == [3]  # the run will write 6 again
    assert fell_back >= 4


def test_all_damaged(two_checkpoints, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(two_checkpoints, copy)
    for step in ("3", "6"):
        shutil.rmtree(copy / step / "model")
    with pytest.raises(UserError, match=r"none of the checkpoints \[6, 3\] in .*copy can be read") as error:
        restore(copy)
    assert "\n" not in str(error.value)


def test_half_written_checkpoint_is_no_checkpoint(two_checkpoints, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(two_checkpoints, copy)
    for path in (copy / "6").glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(path)
    (copy / "6").rename(copy / "6.orbax-checkpoint-tmp")
    assert stored.steps(copy) == [3]
    restored = restore(copy)
    assert restored.step == 3
    save(copy, 6)
    assert restore(copy).step == 6


def test_another_run_is_refused_with_what_differs(two_checkpoints):
    other = {"run": {"batch_size": 32, "model": {"name": "mlp"}}, "stages": [{"start": 0, "stop": 12}]}
    with pytest.raises(UserError) as error:
        restore(two_checkpoints, other)
    message = str(error.value)
    assert "\n" not in message
    assert "run.batch_size: 16 there, 32 now" in message
    assert "stages: [{'start': 0, 'stop': 9}] there, [{'start': 0, 'stop': 12}] now" in message
    assert "model" not in message
    assert "--workdir" in message
    assert stored.steps(two_checkpoints) == [3, 6]  # nothing is touched


def test_another_identity_is_refused_even_if_the_state_would_not_fit(two_checkpoints):
    other = {"run": {"batch_size": 16, "model": {"name": "scnn"}}, "stages": IDENTITY["stages"]}
    with pytest.raises(UserError, match=r"run.model.name: mlp there, scnn now"):
        restore(two_checkpoints, other, optimizer=optax.sgd(0.1), ema=False)


def test_arrays_of_other_code_are_not_damage(two_checkpoints, tmp_path):
    """As where a model of one's own has been changed, under the same name: nothing is removed, what differs is said."""
    copy = tmp_path / "copy"
    shutil.copytree(two_checkpoints, copy)
    for options, said in (
        ({"width": 4}, "ema/student/dense/kernel: float32[5, 3] there, float32[4, 3] now"),
        ({"optimizer": optax.sgd(0.1)}, "there, absent now"),
    ):
        with pytest.raises(UserError, match="is whole, but its arrays are not those of this code") as error:
            restore(copy, **options)
        assert said in str(error.value)
        assert "damaged" not in str(error.value)
        assert "\n" not in str(error.value)
        assert stored.steps(copy) == [3, 6]
    shutil.rmtree(copy / "6" / "model")  # the newest is damaged, too
    with pytest.raises(
        UserError, match=r"copy/3/model is whole, .* params/student/dense/kernel: float32\[5, 3\] there"
    ):
        restore(copy, width=4)
    assert restore(copy).step == 3


def test_variables_for_evaluation_are_the_average_where_one_is_kept(tmp_path):
    save(tmp_path / "ema", 4)
    save(tmp_path / "plain", 4, ema=False)
    for name, expected in (("ema", state_at(4)), ("plain", state_at(4, ema=False))):
        variables = stored.read_variables(tmp_path / name, 4)
        assert jax.tree.structure(variables) == jax.tree.structure(dict(expected.eval_variables))
        jax.tree.map(np.testing.assert_array_equal, variables, dict(expected.eval_variables))


def test_steps_of_nothing(tmp_path):
    with pytest.raises(UserError, match=f"no checkpoint in {tmp_path}"):
        stored.steps(tmp_path)


def test_a_folder_of_runs_is_no_run_but_one_is_named(tmp_path):
    save(tmp_path / "loop" / "seed_0" / "round_03" / "checkpoints", 4)
    with pytest.raises(UserError, match=r"no checkpoint in .*or name a run's own folder: there is .*seed_0/round_03$"):
        stored.steps(tmp_path / "loop" / "checkpoints")


def test_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/checkpoints: not a directory"):
        Checkpoints(tmp_path / "file" / "checkpoints", IDENTITY)


def test_a_disk_that_fills_up(tmp_path):
    save(tmp_path, 3)
    manager = Checkpoints(tmp_path, IDENTITY)
    with no_file_longer_than(64), pytest.raises(UserError, match=f"{tmp_path}: file too large: ") as error:
        save_and_wait(manager, state_at(6))
    assert "\n" not in str(error.value)
    with contextlib.suppress(UserError):  # or once more
        manager.close()
    restored = restore(tmp_path)
    assert restored.step in (3, 6)  # where it is but the last of its files that did not fit, 6 can be read
    assert_equal(restored.state, state_at(restored.step))
