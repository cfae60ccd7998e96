"""What cannot be used: one line that says what, what is allowed and what to do; and nothing is trained."""

import collections
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import small_configs
from PIL import Image
from processes import Launched, start, train

from effjax.errors import UserError
from effjax.recipes import find_recipe, schema

# A few examples of each split are enough, and read at once.
SPLITS = {"train": "train[:64]", "validation": "validation[:32]", "test": "test[:32]"}


def experiment(data_dir, *runs: str) -> dict:
    """The tests' plain experiment with only some of its runs, as the launcher hands it on."""
    config = small_configs.plain().to_dict()
    config["data"].update(SPLITS, dir=str(data_dir))
    config["eval_batch_size"] = 16
    config["runs"] = {name: config["runs"][name] for name in runs or ("student",)}
    return config


def set_key(config: dict, path: str, value) -> None:
    *parents, last = path.split(".")
    for name in parents:
        config = config[name]
    config[last] = value


def refused(config: dict, workdir: pathlib.Path) -> str:
    """Runs the experiment, which must refuse it before anything is trained. Returns the message."""
    with pytest.raises(UserError) as caught:
        find_recipe(config)(config, workdir)
    message = str(caught.value)
    assert "\n" not in message
    assert not list(workdir.rglob("checkpoints"))
    assert not list(workdir.rglob("*.json*"))
    return message


ONE_RUN = {
    "key": ("dat", {}, ["config.dat is not a key", "allowed: active, backend, claims,", "did you mean 'data'?"]),
    "key of a part": ("data.splits", 1, ["config.data.splits is not a key", "allowed: also, classes, crop_pct, dir"]),
    "run key": ("runs.student.batchsize", 1, ["config.runs.student.batchsize", "did you mean 'batch_size'?"]),
    "recipe": ("recipe", "distil", ["config.recipe='distil'", "did you mean 'distill'?"]),
    "flip": ("view.flip", "yes", ["config.view.flip='yes' must be True or False"]),
    "std": ("view.std", [0.0], ["config.view.std=(0.0,) must be a list of 1 or more numbers above 0"]),
    "shift": ("view.shift", -1, ["config.view.shift=-1 must be a whole number from 0 to 4,096"]),
    "backend": ("backend", "jitt", ["backend='jitt'", "allowed: jit, pmap", "did you mean 'jit'?"]),
    "no run": ("runs", {}, ["config.runs is empty"]),
    "a run's name": ("runs", {"x" * 201: {}}, ["config.runs: 'xxx", "is no name", "at most 200 bytes long"]),
    "shares": ("data.split", (80, 20), ["data.split=(80, 20) must be a list of 3 shares of train, validation and"]),
    "no seed": ("num_seeds", 0, ["config.num_seeds=0 must be a whole number from 1 to 10,000"]),
    "model": ("runs.student.model", {"name": "resnet9"}, ["model 'resnet9'", "resnet8", "did you mean 'resnet"]),
    "model option": ("runs.student.model.width", 3, ["'mlp' has no option 'width'", "did you mean 'widths'?"]),
    "model value": (
        "runs.student.model.widths",
        3,
        ["widths=3", "allowed: a tuple of whole numbers from 1 to 1,048,576"],
    ),
    "optimizer": ("runs.student.optimizer.name", "adan", ["optimizer.name='adan'", "did you mean 'adam'?"]),
    "optimizer option": ("runs.student.optimizer.b3", 0.9, ["optimizer.b3: adam has no such", "allowed: b1, b2"]),
    "schedule": ("runs.student.schedule.name", "cosinus", ["schedule.name='cosinus'", "did you mean 'cosine'?"]),
    "schedule option": ("runs.student.schedule.warm", 0.1, ["schedule.warm", "did you mean 'warmup'?"]),
    "schedule value": ("runs.student.schedule.warmup", 1.5, ["schedule.warmup=1.5", "from 0 to below 1"]),
    "term": ("runs.student.terms.soft_targets", {}, ["no term 'soft_targets'", "did you mean 'soft_target'?"]),
    "term option": ("runs.student.terms.ce.wieght", 1, ["terms.ce: no option 'wieght'", "did you mean 'weight'?"]),
    "term schedule": (
        "runs.student.terms.ce.weight",
        {"name": "linaer", "peak": 1.0},
        ["schedule.name='linaer'", "did you mean 'linear'?"],
    ),
    "term without teacher": ("runs.student.terms.soft_target", {}, ["terms.soft_target: no teacher 'teacher'"]),
    "setting": ("runs.student.plans.term", [[0.0, ["ce"]]], ["student.plans.term is not a", "did you mean 'terms'?"]),
    "breakpoints": (
        "runs.student.plans.terms",
        [[0.0, ["ce"]], [0.6, ["ce"]], [0.5, ["ce"]]],
        ["config.runs.student.plans", "'terms'", "must increase strictly", "[0.0, 0.6, 0.5]"],
    ),
    "breakpoint at 1": ("runs.student.plans.terms", [[0.0, ["ce"]], [1.0, ["ce"]]], ["student.plans", "below 1"]),
    "no first breakpoint": ("runs.student.plans.terms", [[0.5, ["ce"]]], ["student.plans", "must start at 0"]),
    "planned term": (
        "runs.student.plans.terms",
        [[0.0, ["ce"]], [0.5, ["cee"]]],
        ["no term 'cee'", "allowed: ce", "did you mean 'ce'?"],
    ),
    "planned parameters": (
        "runs.student.plans.trainable",
        [[0.0, ".*"], [0.5, "student/dense9/.*"]],
        ["trainable='student/dense9/.*' matches no parameter", "student/dense1/kernel"],
    ),
    "batch size": ("runs.student.batch_size", 0, ["batch_size=0"]),
    "dataset": ("data.name", "digit", ["unknown dataset 'digit'", "did you mean 'digits'?"]),
    "split": ("data.train", "trian", ["no split 'trian'", "did you mean 'train'?"]),
    "pasted": ("view.copy_paste", 0.5, ["config.view.copy_paste: the task 'classification' has no boxes"]),
    "channels": ("view.mean", (0.5, 0.5, 0.5), ["config.view.mean has 3 values", "1 channels"]),
}


@pytest.mark.parametrize(("key", "value", "said"), ONE_RUN.values(), ids=ONE_RUN)
def test_one_line_says_what_and_what_is_allowed(key, value, said, data_dir, tmp_path):
    config = experiment(data_dir)
    set_key(config, key, value)
    message = refused(config, tmp_path / "workdir")
    for part in said:
        assert part in message


def test_missing_key(data_dir, tmp_path):
    config = experiment(data_dir)
    del config["runs"]["student"]["epochs"]
    assert "config.runs.student.epochs is missing" in refused(config, tmp_path)


def test_teacher_that_is_no_run(data_dir, tmp_path):
    config = experiment(data_dir, "teacher", "student", "distilled")
    set_key(config, "runs.distilled.teachers.teacher.run", "techer")
    message = refused(config, tmp_path)
    assert "config.runs.distilled.teachers.teacher.run='techer'" in message
    assert "allowed: distilled, student, teacher (did you mean 'teacher'?)" in message


def test_teachers_in_a_circle(data_dir, tmp_path):
    config = experiment(data_dir, "teacher", "student", "distilled")
    set_key(config, "runs.teacher.teachers.other", schema.teacher_of_run("distilled").to_dict())
    assert "['distilled', 'teacher'] teach one another in a circle" in refused(config, tmp_path)


def test_cached_teacher_of_a_random_view(data_dir, tmp_path):
    config = experiment(data_dir, "teacher", "distilled")
    set_key(config, "runs.distilled.teachers.teacher.cached", "float16")
    set_key(config, "view.shift", 2)
    message = refused(config, tmp_path)
    assert "config.runs.distilled.teachers.teacher.cached='float16', but config.view is random" in message


def test_a_mistake_in_the_last_run_is_found_before_the_first_is_trained(data_dir, tmp_path):
    config = experiment(data_dir, "teacher", "student", "distilled")
    set_key(config, "runs.distilled.plans.terms", [[0.0, ["ce", "soft_target"]], [0.5, ["soft_targte"]]])
    message = refused(config, tmp_path)
    assert "no term 'soft_targte'" in message
    assert "did you mean 'soft_target'?" in message


def test_unprepared_dataset(data_dir, tmp_path):
    config = experiment(data_dir)
    set_key(config, "data.dir", str(tmp_path / "data"))
    message = refused(config, tmp_path / "workdir")
    assert f"'digits' is not prepared in {tmp_path / 'data'}" in message
    assert f"python -m launch.data --dataset=digits --data_dir={tmp_path / 'data'}" in message
    assert not (tmp_path / "data").exists()


# Teachers from an earlier run's folder


def draw_folder(root: pathlib.Path, classes: int, size: int = 28) -> pathlib.Path:
    """An image folder with three splits of two noisy images a class."""
    rng = np.random.default_rng(0)
    for split in SPLITS:
        for label in range(classes):
            folder = root / split / f"class_{label}"
            folder.mkdir(parents=True)
            for number in range(2):
                image = rng.integers(0, 256, (size, size), dtype=np.uint8)
                Image.fromarray(image).save(folder / f"{number}.png")
    return root


def on_folder(config: dict, root: pathlib.Path, cache: pathlib.Path) -> dict:
    config["data"].update({split: split for split in SPLITS}, name=f"folder:{root}", dir=str(cache))
    config["runs"]["student"].update(batch_size=2, steps=2, evaluations=1)
    return config


def test_teacher_of_other_classes(data_dir, tmp_path):
    config = on_folder(experiment(data_dir), draw_folder(tmp_path / "images", classes=3), tmp_path)
    find_recipe({"recipe": "distill"})(config, tmp_path / "earlier")
    folder = tmp_path / "earlier" / "student" / "seed_0"
    config = experiment(data_dir, "distilled")
    set_key(config, "runs.distilled.teachers.teacher", schema.teacher_of_checkpoint(str(folder)).to_dict())
    message = refused(config, tmp_path / "workdir")
    assert f"config.runs.distilled.teachers.teacher.checkpoint={folder}" in message
    assert "the teacher knows 3 classes, 'digits' has 10" in message


def test_teacher_that_is_not_there(data_dir, tmp_path):
    config = experiment(data_dir, "distilled")
    set_key(config, "runs.distilled.teachers.teacher", schema.teacher_of_checkpoint("nowhere").to_dict())
    assert "no checkpoint in nowhere/checkpoints" in refused(config, tmp_path)


# Image folders


def test_unreadable_images_are_listed_at_once(data_dir, tmp_path):
    root = draw_folder(tmp_path / "images", classes=2)
    whole = (root / "train" / "class_0" / "1.png").read_bytes()
    (root / "train" / "class_0" / "1.png").write_bytes(whole[: len(whole) // 2])
    (root / "train" / "class_1" / "0.png").write_bytes(b"no image at all")
    message = refused(on_folder(experiment(data_dir), root, tmp_path), tmp_path / "workdir")
    assert "2 images cannot be read, replace or remove them" in message
    assert str(root / "train" / "class_0" / "1.png") in message
    assert str(root / "train" / "class_1" / "0.png") in message


def test_empty_class_folder(data_dir, tmp_path):
    root = draw_folder(tmp_path / "images", classes=2)
    for path in (root / "train" / "class_1").iterdir():
        path.unlink()
    message = refused(on_folder(experiment(data_dir), root, tmp_path), tmp_path / "workdir")
    assert f"folder {root / 'train'}: no images in class folders class_1; add some or remove them" in message


# The workdir


def test_workdir_that_cannot_be_written(data_dir, tmp_path):
    (tmp_path / "file").touch()
    message = refused(experiment(data_dir), tmp_path / "file" / "run")  # not even by root
    assert f"workdir={tmp_path / 'file' / 'run'} cannot be written: Not a directory" in message


def test_full_workdir(data_dir, tmp_path, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**30, 2**30 - 2**20, 2**20))
    message = refused(experiment(data_dir), tmp_path)
    assert f"workdir={tmp_path}: only 1 MiB are free; make room" in message


def test_a_run_that_there_is_not_leaves_no_folder(data_dir, tmp_path):
    config = experiment(data_dir)
    with pytest.raises(UserError, match=r"--only: no run 'studnt'; .*did you mean 'student'"):
        find_recipe(config)(config, tmp_path / "workdir", only=("studnt",))
    assert not (tmp_path / "workdir").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A disk with just the room that a run asks for at its start."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=66m", "none", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a small disk")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


# Through the launcher: exit code 1, one line, no traceback


def fails(process: Launched) -> tuple[str, str]:
    """The process must end with exit code 1 and ``error: …`` as its last line. Returns that, and what came before."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 1, err
    assert not out
    *before, last = err.strip().splitlines()
    assert last.startswith("error: "), err
    return last, "\n".join(before)


def test_disk_that_fills_up(small_disk, data_dir):
    large = ["--config.runs.student.model.widths=(2500,2500)", "--config.data.train=train[:64]"]
    message, before = fails(train("plain", small_disk, data_dir, *large))
    assert message.startswith(f"error: {small_disk}/student/seed_0/")
    assert message.endswith(": no space left on device: make room, then run the same command again")
    assert "launch/train.py" not in before  # what the libraries' threads say of it, but no traceback of ours


COMMANDS = {
    "unknown key": (["--config.num_sedes=3"], ["--config.num_sedes", "did you mean 'num_seeds'?"]),
    "unknown run": (["--config.runs.studnt.steps=3"], ["--config", "did you mean 'student'?"]),
    "wrong type": (["--config.runs.student.steps=1.5"], ["--config.runs.student.steps=1.5", "int"]),
    "a run that there is not": (["--only=teachr"], ["--only: no run 'teachr'", "did you mean 'teacher'?"]),
    "unknown flag": (["--wrokdir=a"], ["'wrokdir'", "workdir ?"]),
    "no number": (["--config.runs.student.optimizer.learning_rate=nan"], ["learning_rate=nan must be a number from 0"]),
    "a folder for a table": (["--results=results"], ["--results=results is a folder: name a Markdown file in it"]),
    "a place that is none": (["--coordinator=abc"], ["missing: --num_processes, --process_id"]),
    "devices": (["--config.runs.student.batch_size=18"], ["batch_size=18", "the 4 devices", "use 16 or 20"]),
}
FILES = {
    "unknown variant": (["--config=configs/distill/digits.py:tyni", "--workdir=W"], ["tyni", "did you mean 'tiny'?"]),
    "missing file": (
        ["--config=configs/digit.py", "--workdir=W"],
        ["configs/digit.py: there is no such file"],
    ),
    "no workdir": (["--config=configs/distill/digits.py"], ["--workdir is missing"]),
    "empty workdir": (["--config=configs/distill/digits.py", "--workdir="], ["--workdir is missing"]),
    "not a flag": (["--config=configs/distill/digits.py", "--workdir=W", "seed=3"], ["'seed=3' is not a flag"]),
}


def test_several_mistakes_are_several_lines(tmp_path, data_dir):
    keys = ["--config.runs.student.batch_size=0", "--config.runs.student.keep=-1", "--config.data.image_size=-5"]
    process = train("plain", tmp_path, data_dir, *keys)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (1, "")
    assert [line.partition("=")[0] for line in err.strip().splitlines()] == [
        "error: config.data.image_size",
        "error: config.runs.student.batch_size",
        "error: config.runs.student.keep",
    ]


def test_help_is_no_failure():
    launchers = ("train", "active", "analyze", "budget", "data", "evaluate", "query")
    started = {name: start(f"launch.{name}", "--help") for name in launchers}
    for name, process in started.items():
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, name
        assert f"launch.{name}" in out
        assert not err


def launch(workdir, data_dir) -> dict[str, Launched]:
    """All the commands' processes, side by side."""
    started = {
        name: train("plain", workdir / name, data_dir, *given, devices=4) for name, (given, _) in COMMANDS.items()
    }
    for name, (given, _) in FILES.items():
        started[name] = start("launch.train", *(a.replace("=W", f"={workdir / name}") for a in given))
    return started


def test_commands(tmp_path, data_dir):
    """One test: two workers would otherwise start all of them twice."""
    answers = {name: fails(process) for name, process in launch(tmp_path, data_dir).items()}
    for name, (message, before) in answers.items():
        assert before == "", name
        for part in {**COMMANDS, **FILES}[name][1]:
            assert part in message, name
    assert not list(tmp_path.rglob("checkpoints"))
