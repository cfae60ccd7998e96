"""Where teachers come from, and that stored answers say what the live ones say."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest
import small_configs

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.identity import identity
from effjax.recipes.build.teachers import class_groups, expand
from effjax.recipes.train import experiment, foreign_teachers, runs
from effjax.recipes.train.foreign_teachers import TEACHERS_FILE
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime.checkpoints import read_variables

SPLITS = {"train": "train[:64]", "validation": "validation[:32]", "test": "test[:32]"}


def small(data_dir, **runs):
    config = small_configs.plain()
    config.data.update(SPLITS, dir=str(data_dir))
    config.eval_batch_size = 32
    if runs:
        config.runs = runs
    return config


def train(config, workdir):
    return {(done.name, done.seed): done for done in TrainingExperiment(config.to_dict(), workdir).train()}


def kernels(done):
    return {layer: value["kernel"] for layer, value in done.variables()["params"].items()}


def test_stored_answers_train_the_student_that_live_ones_train(tmp_path, data_dir, caplog):
    config = small(data_dir)
    config.num_seeds = 2
    config.view.shift, config.view.replays = 2, 2  # augmented, and yet replayed
    config.teacher_cache = str(tmp_path / "answers")
    config.runs.teacher = config.runs.student  # compiles faster than a convolution
    del config.runs["student"]
    config.runs.cached = config.runs.distilled.copy_and_resolve_references()
    config.runs.cached.teachers.teacher = schema.teacher_of_run("teacher", cached="float32")
    with caplog.at_level("INFO", "effjax"):
        done = train(config, tmp_path / "first")
    for seed in (0, 1):
        live, cached = kernels(done["distilled", seed]), kernels(done["cached", seed])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), live, cached)
    tables = list((tmp_path / "answers").iterdir())
    assert len(tables) == 2  # the versions are the seeds' own
    assert np.load(tables[0] / "logits.npy").shape == (2, 64, 10)
    assert "teacher's answers: 128 in" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "effjax"):
        train(config, tmp_path / "second")
    assert caplog.text.count("teacher's answers: read from") == 2


def test_earlier_run_as_teacher(tmp_path, data_dir):
    config = small(data_dir)
    del config.runs["distilled"]
    train(config, tmp_path / "first")
    student = config.runs.student.copy_and_resolve_references()
    student.terms.update({"soft_target": {"weight": 1.0}})
    folder = str(tmp_path / "first" / "teacher" / "seed_0")
    student.teachers.teacher = schema.teacher_of_checkpoint(folder, step="best")
    config = small(data_dir, distilled=student)
    done = train(config, tmp_path / "second")["distilled", 0]
    assert done.last.step == 8
    assert len(done.teachers["teacher"]) == 64  # the hash of the teacher's parameters is on record
    config.data.classes = tuple((f"digit {i}", (str(i),)) for i in range(10))
    with pytest.raises(UserError, match=r"the teacher's classes are 0, 1, .* are digit 0, digit 1"):
        TrainingExperiment(config.to_dict(), tmp_path / "third")


@pytest.fixture(scope="module")
def chain(tmp_path_factory, data_dir):
    """A teacher, its assistant and the assistant's student, trained without a break."""
    config = small(data_dir)
    teacher = config.runs.student
    teacher.checkpoint_every, teacher.keep = 2, 20
    links = {"teacher": teacher}
    for name, above in (("assistant", "teacher"), ("student", "assistant")):
        run = teacher.copy_and_resolve_references()
        run.terms.update({"soft_target": {"weight": 1.0}})
        run.teachers.teacher = schema.teacher_of_run(above)
        links[name] = run
    config.runs = links
    workdir = tmp_path_factory.mktemp("chain")
    return config, workdir, train(config, workdir)


def test_every_link_records_the_hash_of_the_one_above(chain):
    *_, done = chain
    above = {"assistant": "teacher", "student": "assistant"}
    for name, teacher in above.items():
        assert done[name, 0].teachers == {"teacher": params_sha256(done[teacher, 0].variables())}


@pytest.mark.parametrize("link", ["teacher", "assistant", "student"])
def test_a_chain_that_is_cut_in_any_link_goes_on_as_a_whole(chain, tmp_path, link):
    config, workdir, whole = chain
    shutil.copytree(workdir, tmp_path / "cut")
    names = list(config.runs)
    for later in names[names.index(link) + 1 :]:
        shutil.rmtree(tmp_path / "cut" / later)
    for step in (6, 8):
        shutil.rmtree(tmp_path / "cut" / link / "seed_0" / "checkpoints" / str(step))
    again = train(config, tmp_path / "cut")
    for name in names:
        assert again[name, 0].teachers == whole[name, 0].teachers
        jax.tree.map(np.testing.assert_array_equal, again[name, 0].variables(), whole[name, 0].variables())


def test_hints_train_only_what_leads_to_the_guided_layer_first(tmp_path, data_dir):
    teacher = small_configs.plain().runs.teacher
    student = teacher.copy_and_resolve_references()
    student.model.width = 0.25
    student.terms = {"ce": {}, "hint": {"student_tap": "conv1", "teacher_tap": "conv2"}}
    student.teachers.teacher = schema.teacher_of_run("teacher")
    student.plans.terms = ((0.0, ("hint",)), (0.5, ("ce",)))
    student.plans.trainable = ((0.0, "up to conv1"), (0.5, ".*"))
    student.checkpoint_every = student.log_every = 1
    student.keep = 20
    done = train(small(data_dir, teacher=teacher, student=student), tmp_path)["student", 0]
    experiment = done.assembled
    assert [s.get("terms") for s in experiment.job.plan] == [("hint",), ("ce",)]
    start = experiment.initial_state(0).params["student"]
    middle, end = (read_variables(done.folder / "checkpoints", step)["params"] for step in (4, 8))
    for layer in start:
        assert np.array_equal(start[layer]["kernel"], middle[layer]["kernel"]) == (layer != "conv1"), layer
        assert not np.array_equal(middle[layer]["kernel"], end[layer]["kernel"])


def test_teachers_of_several_seeds_are_several_teachers():
    run = schema.run()
    run.terms = {"ce": {}, "soft_target": {"teacher": "all"}, "dkd": {"teacher": "one"}}
    run.teachers.all = schema.teacher_of_run("big", seeds=(0, 2))
    run.teachers.one = schema.teacher_of_run("big")
    expanded = expand(run.to_dict())
    assert sorted(expanded["teachers"]) == ["all@0", "all@2", "one"]
    assert expanded["terms"]["soft_target"]["teacher"] == ["all@0", "all@2"]
    assert expanded["terms"]["dkd"] == {"teacher": "one"}
    assert expanded["terms"]["ce"] == {}


def test_a_teacher_of_one_seed_is_one_for_terms_that_have_one():
    run = schema.run()
    run.terms = {"soft_target": {}, "dkd": {}, "mine": {"kind": "similarity"}}
    run.teachers.teacher = schema.teacher_of_run("big", seeds=(1,))
    terms = expand(run.to_dict())["terms"]
    assert terms["dkd"] == {"teacher": "teacher@1"}
    assert terms["mine"] == {"kind": "similarity", "teacher": "teacher@1"}
    assert terms["soft_target"] == {"teacher": ["teacher@1"]}  # as ever: what identifies runs that were begun


class Info:
    name, class_names, num_classes = "pets", ("cat", "dog"), 2


KNOWN = ("tabby", "siamese", "beagle")


def test_classes_by_name_and_number():
    assert class_groups("k", (("tabby", 1), "beagle"), Info, 3, KNOWN) == ((0, 1), (2,))
    assert class_groups("k", (), Info, 2, ("cat", "dog")) is None


@pytest.mark.parametrize(
    ("classes", "num_classes", "names", "said"),
    [
        ((), 3, KNOWN, r"k is missing: the teacher knows 3 classes, 'pets' has 2"),
        ((), 2, ("dog", "cat"), r"k is missing: as many classes, but of other names"),
        (("tabby",), 3, KNOWN, r"k has 1 entries, 'pets' has 2 classes"),
        (("tabi", "beagle"), 3, KNOWN, r"k: the teacher has no class 'tabi'; .*did you mean 'tabby'"),
        ((3, "beagle"), 3, KNOWN, r"k: 3 is not one of the teacher's classes 0 to 2"),
        (("tabby", 1), 3, None, r"no class 'tabby'; their names are not known"),
    ],
)
def test_classes_that_do_not_fit(classes, num_classes, names, said):
    with pytest.raises(UserError, match=said):
        class_groups("k", classes, Info, num_classes, names)


def test_runs_come_after_their_teachers():
    teach = {"teachers": {"teacher": {"run": "b"}}}
    runs = {"a": teach, "b": {"teachers": {"teacher": {"run": "c"}}}, "c": {"teachers": {}}}
    assert schema.in_order(runs) == ["c", "b", "a"]


def test_a_teacher_from_elsewhere_has_its_row_and_is_measured_once(tmp_path, data_dir, caplog, monkeypatch):
    config = small(data_dir)
    del config.runs["distilled"]
    first = experiment.main(config.to_dict(), tmp_path / "first")
    student = config.runs.student.copy_and_resolve_references()
    student.terms.update({"soft_target": {"weight": 1.0}})
    folder = str(tmp_path / "first" / "teacher" / "seed_0")
    student.teachers.teacher = schema.teacher_of_checkpoint(folder, step="last")
    config = small(data_dir, distilled=student, again=student)
    with caplog.at_level("INFO", "effjax"):
        experiment.main(config.to_dict(), tmp_path / "second")
    assert caplog.text.count(f"teacher {folder}: validation accuracy") == 1  # of both its students
    accuracy = first["teacher"]["seeds"][0]["test/accuracy"]
    (row,) = [line for line in (tmp_path / "second" / "table.md").read_text().splitlines() if folder in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == f"{first['teacher']['params']:,}"
    assert cells[2] == f"{first['teacher']['mflops']:.2f}"
    assert cells[3].startswith(f"{100 * accuracy:.2f}")
    # What was measured is read again; what is damaged is measured anew.
    kept = (tmp_path / "second" / TEACHERS_FILE).read_bytes()
    monkeypatch.setattr(foreign_teachers, "predictor", None)
    experiment.main(config.to_dict(), tmp_path / "second")
    monkeypatch.undo()
    (tmp_path / "second" / TEACHERS_FILE).write_bytes(kept[:-40])
    experiment.main(config.to_dict(), tmp_path / "second")
    assert (tmp_path / "second" / TEACHERS_FILE).read_bytes() == kept


def test_a_teacher_that_only_guesses_is_warned_of(tmp_path, data_dir, caplog, monkeypatch):
    """As where its scale is another than is said: here, where its classes are in another order."""
    monkeypatch.setattr(foreign_teachers, "_MARGIN", 0.0)  # of 32 images little can be told
    config = small(data_dir)
    del config.runs["distilled"]
    train(config, tmp_path / "first")
    folder = tmp_path / "first" / "teacher" / "seed_0"
    source = schema.teacher_of_checkpoint(str(folder))
    with caplog.at_level("WARNING", "effjax"):
        for turned in (0, 1):
            config = small(data_dir, student=config.runs.student)
            config.runs.student.terms = {"soft_target": {"weight": 1.0}}
            config.runs.student.teachers.teacher = source
            training = TrainingExperiment(config.to_dict(), tmp_path / f"second {turned}")
            spec = training._teachers["student"]["teacher"]
            turned_by = tuple(((label + turned) % 10,) for label in range(10))
            spec = dataclasses.replace(spec, network=dataclasses.replace(spec.network, classes=turned_by))
            variables = spec.load(None)
            training.foreign.check("config.runs.student.teachers.teacher", spec, variables, params_sha256(variables))
    (warned,) = caplog.messages
    assert warned.startswith(f"config.runs.student.teachers.teacher ({folder}) gets ")
    assert "the most frequent class alone" in warned


def test_a_run_with_a_teacher_goes_on_where_a_version_without_some_of_its_keys_stopped(tmp_path, data_dir, monkeypatch):
    def earlier(*args, **own):
        facts = identity(*args, **own)
        for teacher in facts["run"].get("teachers", {}).values():
            del teacher["function"], teacher["part"], teacher["options"]
        return facts

    config = small(data_dir)
    config.runs.teacher = config.runs.student
    del config.runs["student"]
    with monkeypatch.context() as patch:
        patch.setattr(runs, "identity", earlier)
        before = train(config, tmp_path)
    after = train(config, tmp_path)
    jax.tree.map(np.testing.assert_array_equal, *(kernels(done["distilled", 0]) for done in (before, after)))
    config.runs.distilled.teachers.teacher.step = "best"
    with pytest.raises(UserError, match=r"of another run \(run\.teachers\.teacher\.step"):
        train(config, tmp_path)
