"""A teacher's answers on disk: whole after any restart, checked when they are read, streamed where they are many."""

import json
import pickle
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import processes
import pytest
import small_configs
from runtime.disks import no_file_longer_than
from small_answers import COUNT, IDS, PART, Counted, answers

from effjax.data.tables import FACTS_FILE, PARTS_FILE
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime.locks import LOCK_FILE
from effjax.steps import CachedTeacher, StreamedTeacher, pack_answers


def files(folder):
    """The files of the one table, by name."""
    (table,) = folder.iterdir()
    return {path.name: path.read_bytes() for path in table.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    answers(folder, Counted())
    return folder


def start(folder, stop_at):
    return processes.start("small_answers", folder, stop_at)


def test_it_is_numpys_own_file_and_holds_what_the_teacher_says(whole):
    table = answers(whole, Counted())
    (folder,) = whole.iterdir()
    assert folder.name == "0f8e4e353a32d6bf02b6d11c"  # golden: under another name, what lies on disks is not found
    stored = np.load(folder / "logits.npy")
    assert stored.shape == (1, COUNT, 2)
    assert np.isnan(stored[:, 0]).all()  # an id that the source does not have
    assert np.isfinite(stored[:, 1:]).all()
    np.testing.assert_array_equal(stored, table.read()["logits"])
    np.testing.assert_array_equal(stored[:, 7], table.of(7)["logits"])
    elsewhere = pickle.loads(pickle.dumps(table))  # a reading process gets a copy
    np.testing.assert_array_equal(stored[:, 7], elsewhere.of(7)["logits"])
    assert sorted(files(whole)) == [FACTS_FILE, "logits.npy", PARTS_FILE]


def test_killed_twice_it_computes_only_what_is_missing(whole, tmp_path):
    for stop_at, done in ((20, 2), (30, 3)):
        process = start(tmp_path, stop_at)
        assert process.stdout.readline() == "stopped\n", process.stderr.read()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        noted = json.loads(files(tmp_path)[PARTS_FILE])["sha256"]["logits"]
        assert sum(one is not None for one in noted) == done
    source = Counted()
    answers(tmp_path, source)
    assert set(source.read) == set(IDS[3 * PART :])
    assert files(tmp_path) == files(whole)


def test_two_at_once_compute_it_once(whole, tmp_path):
    several = [start(tmp_path, -1) for _ in range(2)]
    for process in several:
        _, err = process.communicate()
        assert process.returncode == 0, err
    assert files(tmp_path) == files(whole)


@pytest.mark.parametrize("form", ["float16", "top1"])
def test_what_is_damaged_is_said_and_computed_anew(tmp_path, form, caplog):
    answers(tmp_path, Counted(), form, versions=3)
    before = files(tmp_path)
    (table,) = tmp_path.iterdir()
    for name in sorted(set(before) - {FACTS_FILE}):
        for at in {0, 6, 20, len(before[name]) // 2, len(before[name]) - 1}:  # of 40 ids only the first has no answer
            damaged = bytearray(before[name])
            damaged[at] ^= 0x10
            (table / name).write_bytes(damaged)
            caplog.clear()
            answers(tmp_path, Counted(), form, versions=3)
            assert files(tmp_path) == before, (name, at)
            # Of a hash that is not that of the part, nobody can say which of the two was damaged.
            said = [path.name for path in table.iterdir() if f"{path} is damaged" in caplog.text]
            assert len(said) == 1, (name, at)
            assert name in (said[0], PARTS_FILE), (name, at)
            assert caplog.text.count("\n") == 1, caplog.text
        for cut in (b"", before[name][:-2], before[name] + b"\0"):
            (table / name).write_bytes(cut)
            answers(tmp_path, Counted(), form, versions=3)
            assert files(tmp_path) == before, (name, len(cut))
        (table / name).unlink()
        answers(tmp_path, Counted(), form, versions=3)
        assert files(tmp_path) == before, name


def test_a_damaged_part_costs_a_part(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (table,) = tmp_path.iterdir()
    data = bytearray((table / "logits.npy").read_bytes())
    data[-1] ^= 1  # id 39
    (table / "logits.npy").write_bytes(data)
    source = Counted()
    answers(tmp_path, source)
    assert set(source.read) == set(IDS[-len(IDS) % PART - PART :])
    assert files(tmp_path) == files(whole)


def test_a_table_of_an_earlier_version_is_read_and_hashed(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (table,) = tmp_path.iterdir()
    (table / PARTS_FILE).unlink()
    left = tmp_path / f"{table.name}.7.tmp"  # what one that was killed has left
    left.mkdir()
    source = Counted()
    answers(tmp_path, source)
    assert source.read == []
    shutil.rmtree(left)
    assert files(tmp_path) == files(whole)


def test_what_an_earlier_version_left_half_written_is_swept(whole, tmp_path):
    (folder,) = whole.iterdir()
    (tmp_path / f"{folder.name}.7.tmp").mkdir()
    (tmp_path / folder.name).mkdir()
    (tmp_path / folder.name / ".logits.npy.host-7-abcd.partial").write_text("half")
    answers(tmp_path, Counted())
    assert files(tmp_path) == files(whole)


def test_a_lock_that_a_killed_process_left_is_swept(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (next(tmp_path.iterdir()) / LOCK_FILE).write_bytes(b"")
    answers(tmp_path, Counted())
    assert files(tmp_path) == files(whole)


def test_a_disk_without_room_is_one_line_and_then_it_goes_on(whole, tmp_path):
    with pytest.raises(UserError, match=r"logits.npy.*run the same command again"), no_file_longer_than(300):
        answers(tmp_path, Counted())
    answers(tmp_path, Counted())
    assert files(tmp_path) == files(whole)


@pytest.mark.parametrize("form", ["float32", "float16", "top2"])
def test_streamed_answers_have_the_bits_of_those_on_the_device(form):
    logits = np.random.default_rng(0).normal(0, 4, (3, 5, 6)).astype(np.float32)
    stored = jax.tree.map(np.asarray, pack_answers(jnp.asarray(logits), form))
    batch = {"id": np.array([3, 0, 3], np.int32), "version": np.array([1, 0, 2], np.int32)}
    features = {f"answers/t/{name}": array[:, batch["id"]].swapaxes(0, 1) for name, array in stored.items()}
    expected = CachedTeacher(6)(stored, batch).logits
    found = StreamedTeacher(6, "answers/t/")({}, {**batch, **features}).logits
    np.testing.assert_array_equal(expected, found)


def test_students_learn_the_same_from_answers_on_the_device_and_from_the_disk(tmp_path, data_dir):
    config = small_configs.plain()
    config.data.update(train="train[:64]", validation="validation[:32]", test="test[:32]", dir=str(data_dir))
    config.eval_batch_size, config.view.shift, config.view.replays = 32, 2, 3
    config.teacher_cache = str(tmp_path / "answers")
    config.runs.teacher = config.runs.student.copy_and_resolve_references()
    config.runs.distilled.teachers.teacher = schema.teacher_of_run("teacher", cached="top5")
    config.runs.distilled.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("ce",)))
    del config.runs["student"]
    found = {}
    for mib in (1024, 0):
        if not mib:  # the same teacher
            shutil.copytree(tmp_path / "1024" / "teacher", tmp_path / "0" / "teacher")
        config.data.on_device_mib = mib
        done = list(TrainingExperiment(config.to_dict(), tmp_path / f"{mib}").train())
        found[mib] = done[-1].variables()
        assert bool(done[-1].assembled.lookups) == (mib == 0)
    jax.tree.map(np.testing.assert_array_equal, found[1024], found[0])
    assert not list(tmp_path.rglob(LOCK_FILE))
