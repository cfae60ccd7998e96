"""Runs become files, which are measured: what is said of them is true, is said once, and outlives every kill."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
import small_configs
from processes import finish, kill_when, train
from test_every_key import VALUES, changed

from effjax.data.sources import load
from effjax.errors import UserError
from effjax.recipes import find_recipe, schema
from effjax.recipes.compress import experiment as compress
from effjax.recipes.compress import files, measures, times
from effjax.recipes.compress.checks import export_problems
from effjax.recipes.train import experiment as training


def config_of(data_dir, **changes):
    config = small_configs.compress()
    config.data.dir = str(data_dir)
    config.update(changes)
    return config.to_dict()


@pytest.fixture(scope="module")
def done(tmp_path_factory, data_dir):
    """The experiment's folder and what it found."""
    folder = tmp_path_factory.mktemp("compress")
    return folder, compress.main(config_of(data_dir), folder / "work", folder / "results" / "table.md")


@pytest.fixture
def again(done, tmp_path):
    """A copy of the folder, to be damaged, and what was found in it."""
    shutil.copytree(done[0] / "work", tmp_path / "work")
    return tmp_path / "work", done[1]


def without_times(summary):
    return {name: {key: value for key, value in one.items() if key != "latency"} for name, one in summary.items()}


def test_accuracy_is_what_the_file_answers(done, data_dir):
    """Measured once more, with nothing but onnxruntime and numpy."""
    folder, summary = done
    test = load("digits", "test[:100]", data_dir)
    images = np.stack([test[row]["image"] for row in range(100)]).astype(np.float32) / 255
    labels = test.column("label")
    assert list(summary) == ["teacher", "student", "after", "trained"]
    for name, export in summary.items():
        for seed in export["seeds"]:
            path = folder / "work" / "exports" / name / f"seed_{seed['seed']}" / export["step"] / "model.onnx"
            (logits,) = onnxruntime.InferenceSession(str(path)).run(None, {"images": images})
            assert seed["accuracy"] == pytest.approx((logits.argmax(-1) == labels).mean())
            assert seed["bytes"] == path.stat().st_size > seed["bytes_zipped"]
            assert seed["accuracy"] == seed["test/accuracy" + ("_best" if export["step"] == "best" else "")]


def test_files_answer_as_their_networks_do(done):
    _, summary = done
    for name in ("teacher", "student"):
        assert all(seed["agreement_own"] == 1 and seed["same_bits"] is None for seed in summary[name]["seeds"])
    for name, bits in (("after", "w8a8"), ("trained", "w4a4")):
        assert summary[name]["bits"] == bits
        assert all(seed["same_bits"] == 1 and seed["agreement_own"] > 0.9 for seed in summary[name]["seeds"])
    assert "agreement" not in summary["teacher"]["seeds"][0]
    assert len(summary["teacher"]["seeds"]) == 1
    assert all(0 < seed["agreement"] < 1 for seed in summary["trained"]["seeds"])


def test_costs_by_hand(done):
    _, summary = done
    weights = 784 * 8 + 8 + 8 * 10 + 10
    for name in ("student", "after", "trained"):
        for seed in summary[name]["seeds"]:
            assert (seed["parameters"], seed["multiply_adds"]) == (weights, 784 * 8 + 8 * 10)
            assert 0 < seed["nonzero"] <= weights
        assert set(summary[name]["latency"]) == {"1", "32"}
        assert all(0 < one["least"] <= one["median"] for one in summary[name]["latency"].values())
    assert summary["after"]["seeds"][0]["bytes"] < summary["student"]["seeds"][0]["bytes"] / 3


def test_what_is_written(done):
    folder, summary = done
    assert json.loads((folder / "work" / "summary.json").read_text()) == summary
    table = (folder / "results" / "table.md").read_text()
    assert (folder / "results" / "table.png").stat().st_size > 10_000
    assert "| the student | float | 6,370 |" in table
    assert "| after − the student |" in table
    assert "| trained − after |" in table
    assert "onnxruntime" in table.splitlines()[-1]
    assert "Of teacher: seed 0 alone." in table
    assert "the best on validation for the student, the end of training for the others" in table
    page = (folder / "work" / "report.html").read_text()
    assert page.count("data:image/png") == 1
    assert page.count("Beside controls and teachers") == 1  # over all tables of it


def test_a_teacher_from_elsewhere_has_its_row(done, tmp_path, data_dir):
    folder = str(done[0] / "work" / "teacher" / "seed_0")
    config = small_configs.compress()
    config.data.dir, config.num_seeds = str(data_dir), 1
    config.runs.few.teachers.teacher = schema.teacher_of_checkpoint(folder, step="last")
    for name in ("teacher", "student"):
        del config.runs[name]
    config.exports = {"trained": schema.export("few")}
    config.table = ("trained",)
    compress.main(config.to_dict(), tmp_path)
    table = (tmp_path / "table.md").read_text()
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {folder} |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == ["12,730", "0.01"]  # 784 · 16 + 16 · 10 multiply-adds
    (taught,) = done[1]["teacher"]["seeds"]  # the same network, as its file answers
    assert cells[3] == f"{100 * taught['accuracy']:.2f} %"
    assert "Teachers from elsewhere" in table


def test_what_is_done_is_not_done_again(again, data_dir, monkeypatch):
    workdir, summary = again

    def never(*_, **__):
        raise AssertionError("it was done already")

    monkeypatch.setattr(files, "export_onnx", never)
    monkeypatch.setattr(measures, "_answers", never)
    monkeypatch.setattr(times, "latencies", never)
    assert compress.main(config_of(data_dir), workdir) == summary


def test_what_is_asked_otherwise_is_done_again(again, data_dir, monkeypatch):
    workdir, summary = again
    made = []
    export_onnx = files.export_onnx
    monkeypatch.setattr(files, "export_onnx", lambda *given: made.append(given[-1]) or export_onnx(*given))
    config = changed(config_of(data_dir), "exports.after.bits", "w4a4")
    found = compress.main(config, workdir)
    assert {path.parent.parent.name for path in made} == {"after"}
    assert found["after"]["bits"] == "w4a4"
    assert found["student"]["seeds"] == summary["student"]["seeds"]
    made.clear()
    shutil.rmtree(workdir / "few")  # other parameters
    found = compress.main(changed(config, "runs.few.optimizer.learning_rate", 0.02), workdir)
    assert {path.parent.parent.name for path in made} == {"trained"}
    old, new = (one["trained"]["seeds"][0]["variables_sha256"] for one in (summary, found))
    assert old != new


def test_what_is_damaged_is_made_anew(again, data_dir, caplog):
    workdir, summary = again
    own = workdir / "exports" / "trained" / "seed_1" / "last"
    for name in ("model.onnx", files.RECORD_FILE, measures.MEASURED_FILE, measures.LOGITS_FILE):
        whole = (own / name).read_bytes()
        (own / name).write_bytes(whole[: len(whole) // 2])
        caplog.clear()
        assert without_times(compress.main(config_of(data_dir), workdir)) == without_times(summary)
        assert (own / name).read_bytes() == whole
        assert (name in caplog.text) or name == "model.onnx"


def test_seeds_that_train_together(tmp_path, data_dir):
    config = config_of(data_dir, seeds_together=True)
    config["exports"] = {name: config["exports"][name] for name in ("student", "after")}
    config["exports"]["after"]["teacher"] = config["exports"]["student"]["teacher"] = ""
    config["runs"], config["table"] = {"student": config["runs"]["student"]}, ()
    found = compress.main(config, tmp_path)
    student = found["student"]["seeds"]
    assert student[0]["variables_sha256"] != student[1]["variables_sha256"]
    assert all(seed["agreement_own"] == 1 for seed in student)
    assert all(seed["same_bits"] == 1 for seed in found["after"]["seeds"])


def test_only_trains(tmp_path, data_dir):
    assert compress.main(config_of(data_dir), tmp_path, None, ["student"]) == {}
    assert (tmp_path / "student" / "seed_1").exists()
    assert not (tmp_path / "exports").exists()


BAD = {
    "run": ("exports.after.run", "studnt", "config.exports.after.run='studnt'; .*did you mean 'student'"),
    "bits": ("exports.after.bits", "w9a9", "config.exports.after.bits='w9a9' must be bits, `w8a8`, or empty"),
    "control": ("exports.after.control", "few", "exports.after.control='few' is no export; allowed: after, student"),
    "itself": ("exports.after.control", "after", "exports.after.control='after' is the export itself"),
    "teacher": ("exports.after.teacher", "teach", "exports.after.teacher='teach' is no export; .*'teacher'"),
    "calibration": ("exports.after.calibration", "max", "config.exports.after.calibration='max'; .*'minmax'"),
    "other bits": ("exports.trained.bits", "w8a8", "exports.trained.bits='w8a8': the run is trained with w4a4"),
    "folds": ("runs.student.folds", 2, "exports.student.run='student' is a cross-validation of 2 networks"),
    "none": ("exports", {}, "config.exports is empty"),
    "table": ("table", ("student", "few"), "config.table: no export 'few'"),
    "table's control": ("table", ("trained",), "config.table: the control of 'trained', 'after', is not in it"),
    "claims": ("claims", (("It is better", "few", "student"),), "config.claims: the recipe compress compares each"),
    "pool": ("data.pool", "photos", "config.data.pool: images without labels are for the recipe 'active'"),
}


@pytest.mark.parametrize(("path", "value", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_said_in_a_line_before_anything_is_trained(path, value, said, data_dir, tmp_path):
    config = changed(config_of(data_dir), path, value)
    with pytest.raises(UserError, match=said) as caught:
        find_recipe(config)(config, tmp_path / "work")
    assert all("\n" not in line for line in getattr(caught.value, "lines", (str(caught.value),)))
    assert not list(tmp_path.rglob("checkpoints"))


def test_networks_that_cannot_be_deployed_are_refused_before_they_are_trained(data_dir, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("a network that does not what can be deployed")

    monkeypatch.setattr("effjax.recipes.compress.checks.deploy", refuse)
    with pytest.raises(UserError, match=r"config.exports.student: a network that does not") as caught:
        compress.main(config_of(data_dir), tmp_path)
    assert len(caught.value.lines) == 2  # teacher and student, each by its export
    assert not list(tmp_path.rglob("checkpoints"))


def test_other_recipes_refuse_exports(data_dir, tmp_path):
    config = {**config_of(data_dir), "recipe": "distill", "table": ()}
    with pytest.raises(UserError, match=r"config.exports: files are measured by the recipe 'compress'"):
        training.main(config, tmp_path)
    launched = train("plain", tmp_path, data_dir, launcher="launch.compress")
    _, err = launched.communicate(timeout=100)
    assert launched.returncode == 1
    assert "config.recipe='distill' measures no files: run it with" in err


def refused(config) -> tuple[str, ...]:
    try:
        schema.check(config, export_problems)
    except UserError as error:
        return getattr(error, "lines", (str(error),))
    return ()


def test_every_key_of_an_export_with_every_value(data_dir):
    config, passed = config_of(data_dir), set()
    for key in config["exports"]["after"]:
        for value in VALUES:
            path = f"exports.after.{key}"
            said = refused(changed(config, path, value))
            assert all(path in line and "\n" not in line for line in said)
            passed.update([] if said else [key])
    assert passed == {"bits", "label", "calibrate", "teacher", "control"}  # texts, empty ones, and a number


def test_kills_leave_no_trace(done, tmp_path, data_dir):
    """kill -9 while it trains, while it writes files, while it measures them, while it times them."""
    _, summary = done
    exports = tmp_path / "exports"
    moments = [
        lambda: any(tmp_path.glob("student/seed_0/checkpoints/*")),
        lambda: (exports / "student" / "seed_0" / "best" / "model.onnx").exists(),
        lambda: (exports / "after" / "seed_0" / "last" / files.RECORD_FILE).exists(),
        lambda: (exports / "trained" / "seed_1" / "last" / measures.MEASURED_FILE).exists(),
    ]
    for moment in moments:
        assert kill_when(train("compress", tmp_path, data_dir, launcher="launch.compress"), moment)
    finish(train("compress", tmp_path, data_dir, launcher="launch.compress"))
    assert without_times(json.loads((tmp_path / "summary.json").read_text())) == without_times(summary)
    assert not list(exports.rglob("*.partial"))
