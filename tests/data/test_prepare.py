"""Prepared wholly or not at all, by nobody but who asked for it."""

import os
import signal
import subprocess
import sys

import pytest
from runtime.disks import no_file_longer_than

from effjax.data.prepare import prepare
from effjax.data.sources import load, split_names
from effjax.data.tfds_source import parse_name, prepared_dir
from effjax.errors import UserError

_SMALL = "from effjax.data.builders import shapes; shapes.COUNTS = dict(train=60, validation=5, test=5)\n"
_PREPARE = "from effjax.data.prepare import prepare; prepare('shapes_basic', {folder!r})\n"
# The process kills itself at the 50th drawing, when part of the train split lies on disk.
_DIE = """
import os
from effjax.data.builders import shapes_generator
draw = shapes_generator.draw
def draw_or_die(variant, seed, split, index):
    if index == 50:
        os.kill(os.getpid(), 9)
    return draw(variant, seed, split, index)
shapes_generator.draw = draw_or_die
"""


def _python(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_killed_preparation_does_not_pass_for_a_dataset(tmp_path, monkeypatch):
    process = _python(_SMALL + _DIE + _PREPARE.format(folder=str(tmp_path)))
    assert process.wait(timeout=120) == -signal.SIGKILL
    left = [path.name for path in (tmp_path / "shapes_basic").iterdir()]
    assert len(left) == 1
    assert left[0].startswith("incomplete.")
    assert prepared_dir("shapes_basic", tmp_path) is None
    with pytest.raises(UserError, match="is not prepared"):
        load("shapes_basic", "train", tmp_path)

    from effjax.data.builders import shapes

    monkeypatch.setattr(shapes, "COUNTS", {"train": 60, "validation": 5, "test": 5})
    directory = prepare("shapes_basic", tmp_path)
    assert [path.name for path in (tmp_path / "shapes_basic").iterdir()] == [directory.name]
    assert len(load("shapes_basic", "train", tmp_path)) == 60


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    from effjax.data.builders import shapes_generator

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shapes_generator, "draw", full)
    with pytest.raises(UserError, match=r"'shapes_geom' cannot be prepared in .*no space left.*make room") as error:
        prepare("shapes_geom", tmp_path)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "shapes_geom").iterdir()) == []


@pytest.mark.parametrize("size", [0, 1_000, 70_000])
def test_a_disk_that_is_full_is_named_and_with_room_again_all_is_there(tmp_path, monkeypatch, size):
    from effjax.data.builders import shapes

    monkeypatch.setattr(shapes, "COUNTS", {"train": 60, "validation": 5, "test": 5})
    with no_file_longer_than(size), pytest.raises(UserError, match=r"'shapes_basic' cannot be prepared in .*too large"):
        prepare("shapes_basic", tmp_path)
    assert prepared_dir("shapes_basic", tmp_path) is None
    directory = prepare("shapes_basic", tmp_path)
    assert [path.name for path in (tmp_path / "shapes_basic").iterdir()] == [directory.name]
    assert len(list(load("shapes_basic", "train", tmp_path))) == 60


def test_two_processes_prepare_the_same_dataset_at_once(tmp_path):
    code = _SMALL + _PREPARE.format(folder=str(tmp_path))
    processes = [_python(code), _python(code)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert len(load("shapes_basic", "train", tmp_path)) == 60


def test_every_process_writes_the_same_bytes(tmp_path):
    """The order of a record's features is drawn by each process: of four, hardly ever the same in all."""
    folders = [tmp_path / str(number) for number in range(4)]
    for process in [_python(_SMALL + _PREPARE.format(folder=str(folder))) for folder in folders]:
        assert process.wait(timeout=120) == 0
    for path in prepared_dir("shapes_basic", folders[0]).iterdir():
        assert len({(folder / path.relative_to(folders[0])).read_bytes() for folder in folders}) == 1, path.name


def test_preparing_again_writes_nothing(data_dir):
    before = {path: path.stat().st_mtime_ns for path in prepared_dir("digits", data_dir).iterdir()}
    directory = prepare("digits", data_dir)
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def test_an_unprepared_dataset_names_the_command(tmp_path):
    command = f"python -m launch.data --dataset=digits --data_dir={tmp_path}"
    with pytest.raises(UserError, match="'digits' is not prepared") as error:
        load("digits", "train", tmp_path)
    assert str(error.value).endswith(command)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"--dataset=cifar10 --data_dir=\S+ --download$"):
        load("cifar10", "train", tmp_path / "never_made")
    assert not (tmp_path / "never_made").exists()


def test_nothing_is_downloaded_unasked(tmp_path):
    with pytest.raises(UserError, match=r"'cats_vs_dogs' must be downloaded.*--download$"):
        prepare("cats_vs_dogs", tmp_path)
    with pytest.raises(UserError, match=r"'cifar10' must be downloaded.*--download; or get cifar-10-binary"):
        prepare("cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_gets_the_nearest(data_dir):
    with pytest.raises(UserError, match=r"unknown dataset 'digts'.*did you mean 'digits'"):
        load("digts", "train", data_dir)
    with pytest.raises(UserError, match=r"unknown dataset 'cifr10'.*did you mean 'cifar10'"):
        load("cifr10", "train", data_dir)
    with pytest.raises(UserError, match="unknown dataset 'digts'"):
        prepare("digts", data_dir)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("trian", r"no split 'trian'.*did you mean 'train'"),
        ("train+test", "cannot be read"),
        ("train[90%:10%]", "is empty: the whole split has 3500"),
    ],
)
def test_an_impossible_split_is_refused(data_dir, split, message):
    with pytest.raises(UserError, match=message):
        load("digits", split, data_dir)


def test_names_are_taken_apart():
    assert parse_name("cifar10") == ("cifar10", None, None)
    assert parse_name("mnist:3.*.*") == ("mnist", None, "3.*.*")
    assert parse_name("imagenet_v2/matched-frequency:3.0.0") == ("imagenet_v2", "matched-frequency", "3.0.0")
    with pytest.raises(UserError, match="not a dataset's name"):
        parse_name("../etc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_data_dir_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        prepare("digits", tmp_path / "data")


def test_a_data_dir_that_is_a_file_is_named(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(UserError, match=r"data_dir \S+/data cannot be written"):
        prepare("digits", tmp_path / "data")


def test_a_data_dir_must_be_given():
    with pytest.raises(UserError, match="needs data_dir"):
        split_names("digits")


def test_versions_and_configs_are_found(tmp_path):
    for path in ("one/1.0.0", "one/1.10.0", "one/1.9.0", "one/incomplete.X_2.0.0", "two/small/1.0.0", "two/big/1.0.0"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "dataset_info.json").write_text("{}")
    (tmp_path / "one" / "3.0.0").mkdir()  # no description, so not a dataset
    assert prepared_dir("one", tmp_path).name == "1.10.0"
    assert prepared_dir("one:1.9.*", tmp_path).name == "1.9.0"
    assert prepared_dir("one:2.*.*", tmp_path) is None
    assert prepared_dir("two/small", tmp_path) == tmp_path / "two" / "small" / "1.0.0"
    with pytest.raises(UserError, match="use one of two/big, two/small"):
        prepared_dir("two", tmp_path)
