"""The config of the field's comparisons on CIFAR-100: every pair as shapes, two real steps of every method."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy
from data.fabricated import checked, cifar
from models.goldens.random_weights import random_weights
from processes import REPOSITORY

from configs.distill import cifar100, imagenet
from effjax import models
from effjax.data.builders import official
from effjax.data.prepare import prepare
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.teachers import make_teacher
from effjax.recipes.build.writing import write_measured
from effjax.recipes.train.published import compare, own_results
from effjax.recipes.train.runs import TrainingExperiment
from effjax.reports.published import Own, published

GOLDENS = REPOSITORY / "tests" / "models" / "goldens"
TAPPED = ("fitnet", "at", "sp", "vid", "ab", "ft", "crd", "ofd", "reviewkd", "sdd_kd")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data folder with a CIFAR-100 of 7 images a split."""
    root = tmp_path_factory.mktemp("cifar100")
    folder = root / "downloads" / "cifar100"
    folder.mkdir(parents=True)
    cifar(folder, "cifar100")
    archives = checked(official.archives_of("cifar100"), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(official, "archives_of", lambda name: archives)
        prepare("cifar100", root)
    return root


def config_of(variant, prepared, *names):
    config = cifar100.get_config(variant)
    config.data.dir = str(prepared)
    if names:
        config.runs = {name: run for name, run in config.runs.items() if name in names}
        config.table, config.claims, config.control, config.reference = (), (), "", ""
    return config


HINTED = {"wrn_40_2": (64,), "resnet50": (512,), "vgg13": (256,), "resnet32x4": (128,)}
# Of each architecture once as a teacher, once as a student, and all numbers of maps.
SHAPED = ("wrn_40_2_wrn_16_2", "resnet50_mobilenet_v2", "vgg13_vgg8", "resnet32x4_shufflenet_v2")


@pytest.mark.parametrize("pair", SHAPED)
def test_full_size_as_shapes(pair, prepared, tmp_path):
    config = config_of(pair, prepared, "teacher", *TAPPED)
    terms = {name: options for run in config.runs.values() for name, options in run.terms.to_dict().items()}
    together = config.runs[TAPPED[0]].copy_and_resolve_references()
    together.terms = terms  # the activations that any method looks at, in one program
    config.runs = {"teacher": config.runs.teacher, "together": together}
    experiment = TrainingExperiment(config.to_dict(), tmp_path)
    job = experiment.runs["together"].job
    # That every term acts has been traced by now.
    assert set(job.objective.terms) == set(terms)
    params = jax.eval_shape(experiment.runs["together"].init, np.uint32(0)).params
    assert params["hint"]["norm"]["scale"].shape == HINTED[cifar100.PAIRS[pair][0]]


def test_the_settings_are_those_that_are_published():
    assert len(cifar100.PAIRS) == 13
    for pair, (_, student) in cifar100.PAIRS.items():
        config = cifar100.get_config(pair)
        run = config.runs.student
        assert (run.epochs, run.batch_size) == (240.0, 64)
        assert run.optimizer.learning_rate == (0.01 if "net_v" in student else 0.05)
        assert (run.optimizer.weight_decay, run.optimizer.decay_mask) == (5e-4, ".*")
        assert [round(share * 240) for share in run.schedule.boundaries] == [150, 180, 210]
        apart = ("teacher", "mlkd", "mlkd_standardized")
        assert all(other.optimizer == run.optimizer for name, other in config.runs.items() if name not in apart)
        assert config.runs.teacher.optimizer.learning_rate == 0.05
        assert (config.view.shift, config.view.flip) == (4, True)
        assert config.num_seeds == (3 if pair in {f"{t}_{s}" for t, s in cifar100.UNLIKE} else 5)
    betas = {pair: cifar100.get_config(pair).runs.dkd.terms.dkd.beta for pair in cifar100.PAIRS}
    assert (betas["resnet56_resnet20"], betas["vgg13_vgg8"], betas["resnet32x4_resnet8x4"]) == (2.0, 6.0, 8.0)


def test_multi_level_distillation_trains_as_its_code_does():
    """configs/cifar100/mlkd/ of logit-standardization-KD, and the weights in the names of its logs."""
    said = {"resnet56_resnet20": (480, 0.025, 9), "vgg13_vgg8": (480, 0.01, 6), "vgg13_mobilenet_v2": (480, 0.01, 6)}
    said["resnet32x4_shufflenet_v2"] = (960, 0.01, 6)
    for pair, (epochs, rate, weight) in said.items():
        for name, own in (("mlkd", 0.9), ("mlkd_standardized", weight)):
            run = cifar100.get_config(pair).runs[name]
            assert (run.epochs, run.optimizer.learning_rate, run.batch_size) == (epochs, rate, 64)
            assert [round(share * epochs) for share in run.schedule.boundaries] == [150, 180, 210]
            assert (run.terms.ce_strong.weight, run.terms.ce_strong.view) == (0.1, "strong")
            assert run.terms.mlkd.weight == pytest.approx(own / 2)
            assert run.terms.soft_target_strong.weight == pytest.approx(own)


def test_scales_are_as_many_as_in_their_scripts():
    """teacher_*.sh: --M [1,2] is finest = 2, [1,2,4] is 4."""
    scales = {("vgg13_vgg8", "sdd_kd"): 2, ("resnet32x4_resnet8x4", "sdd_nkd"): 2, ("resnet50_vgg8", "sdd_dkd"): 4}
    scales |= {("resnet50_vgg8", "sdd_nkd"): 2, ("vgg13_mobilenet_v2", "sdd_kd"): 4}
    for (pair, name), finest in scales.items():
        assert cifar100.get_config(pair).runs[name].terms[name].finest == finest
    runs = cifar100.get_config("vgg13_mobilenet_v2").runs
    assert (runs.sdd_dkd.terms.sdd_dkd.beta, runs.sdd_nkd.terms.sdd_nkd.gamma) == (6.0, 6.0)
    assert (runs.sdd_kd.terms.ce.weight, runs.sdd_kd.terms.sdd_kd.weight) == (0.1, 0.9)


def test_standardised_logits_weigh_as_their_code_has_them():
    """The code's logs are called dkd,TEACHER,STUDENT,T,weight,beta, without beta where it is the pair's."""
    named = {"resnet56_resnet20": (3, 18, 2), "vgg13_vgg8": (2, 15, 2), "resnet32x4_shufflenet_v2": (2, 9, 8)}
    for pair, (temperature, weight, beta) in named.items():
        dkd = cifar100.get_config(pair).runs.dkd_standardized.terms.dkd
        assert (dkd.temperature, dkd.alpha, dkd.beta) == (temperature, weight, weight * beta)
        assert dkd.standardize
    kd = cifar100.get_config("resnet50_mobilenet_v2").runs.kd_standardized.terms
    assert (kd.soft_target.temperature, kd.soft_target.weight, kd.ce.weight) == (3.0, 1.0, 0.1)


def test_what_is_trained_on_chooses_nothing_and_the_title_says_so():
    published, honest = cifar100.get_config("vgg13_vgg8"), cifar100.get_config("vgg13_vgg8,honest")
    assert (published.data.train, honest.data.train) == ("train", "train[:90%]")
    assert published.data.validation == honest.data.validation == "train[90%:]"
    assert (published.judge, honest.judge) == ("last", "last")
    assert "chooses nothing" in published.title
    assert "chooses nothing" not in honest.title


def test_what_is_published_has_a_run():
    """Of every pair and method that numbers are published of; the teacher's is its own."""
    for pair, numbers in published()["pairs"].items():
        runs = cifar100.get_config(pair).runs
        assert set(numbers) <= set(runs), pair
        assert ("fsp" in numbers) == ("fsp" in runs)
        assert ("kdsvd" in runs) == (tuple(cifar100.PAIRS[pair]) in cifar100.ALIKE)


@pytest.mark.parametrize(
    ("pair", "name", "trained", "then", "taps"),
    [
        ("resnet56_resnet20", "fsp", "up to stage3", ("ce",), ("stem", "stage1", "stage2", "stage3")),
        ("vgg13_vgg8", "fsp", "up to block5", ("ce",), ("block1", "block2", "block3", "block4", "block5")),
        ("wrn_40_2_wrn_40_1", "ab", "up to stage3/preact", ("ce",), tuple(f"stage{i}/preact" for i in (1, 2, 3))),
        ("vgg13_mobilenet_v2", "ab", "up to stage7", ("ce",), ("stage2", "stage3", "stage5", "stage7")),
        ("resnet50_vgg8", "ft", "ft/paraphraser/.*", ("ce", "ft"), ("block5", "stage4")),
    ],
)
def test_thirty_epochs_come_before(pair, name, trained, then, taps):
    run = cifar100.get_config(pair).runs[name]
    assert run.epochs == 270
    np.testing.assert_allclose(np.multiply(run.schedule.boundaries, 270), [180, 210, 240])
    assert [[value for _, value in plan] for plan in (run.plans.terms, run.plans.trainable)] == [
        [(name,), then],
        [trained, "student/.*|ft/translator/.*" if name == "ft" else ".*"],
    ]
    assert {start * 270 for start, _ in (*run.plans.terms, *run.plans.trainable)} == {0, 30}
    term = run.terms[name]
    assert (term.get("student_taps") or (term.student_tap, term.teacher_tap)) == taps
    assert set(run.terms) == {"ce", name}


def test_paraphrasers_learn_at_their_rate():
    """0.01, a fifth of the others', for students that are residual networks of the first kind."""
    rates = {}
    for pair in ("resnet56_resnet20", "wrn_40_2_wrn_16_2", "vgg13_vgg8", "resnet50_mobilenet_v2", "resnet50_vgg8"):
        run = cifar100.get_config(pair).runs.ft
        rates[pair] = run.optimizer.learning_rate * run.terms.ft.weight * run.terms.ft.reconstruction
    assert list(rates.values()) == pytest.approx([0.01, 0.01, 0.05, 0.01, 0.05])


def test_no_such_pair():
    with pytest.raises(UserError, match=r"resnet56_resnet32 is not a variant; .*did you mean 'resnet56_resnet20'"):
        cifar100.get_config("resnet56_resnet32,tiny")


def test_two_real_steps_of_all_methods_at_once(prepared, tmp_path):
    config = config_of("resnet32x4_resnet8x4,tiny", prepared)
    config.views.strong = {"erasing": 1.0}  # compiles faster than RandAugment
    terms = {}
    for name, run in config.runs.items():
        run.model = {"name": "resnet8", "width": 0.25}  # compiles faster; the taps are the same
        terms |= {f"{name}_{term}": {"kind": term, **options} for term, options in run.terms.to_dict().items()}
    config.runs.kd.terms = terms
    config.runs = {"teacher": config.runs.teacher, "together": config.runs.kd}
    config.table, config.claims, config.control = (), (), ""
    *_, done = TrainingExperiment(config.to_dict(), tmp_path).train()
    lines = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2
    assert all(np.isfinite(line["train/loss"]) for line in lines if "train/loss" in line)
    assert {f"train/loss/{name}" for name in terms} <= set().union(*lines)
    check_beside(tmp_path, done.folder)


def test_what_a_folder_has_stands_beside_what_is_published(data_dir, tmp_path):
    config = schema.experiment()
    config.data.dir, config.eval_batch_size, config.num_seeds = str(data_dir), 100, 2
    config.data.update(validation="validation[:100]", test="test[:100]")
    options = {"model": {"name": "mlp", "widths": (4,)}, "batch_size": 4, "steps": 2, "evaluations": 1}
    config.runs.update(kd=schema.run(**options), mine=schema.run(**options, num_seeds=1))
    for _ in TrainingExperiment(config.to_dict(), tmp_path).train():
        pass
    (own, splits), each = own_results(tmp_path), 50_000 / 4
    assert splits == {"train"}
    assert own == {"kd": Own([], [2 / each] * 2, 2 / each), "mine": Own([], [2 / each], 2 / each)}
    write_measured(tmp_path / "kd" / "seed_1" / "result.json", {"test/accuracy": 0.5})
    assert own_results(tmp_path)[0]["kd"].accuracies == [0.5]
    said = compare([f"resnet32x4_resnet8x4={tmp_path}"], str(tmp_path / "table.md"))
    page = (tmp_path / "table.md").read_text()
    for text in (said, page):
        assert "resnet32x4_resnet8x4 trained on train" in text
        assert "resnet56_resnet20" not in text
    assert [cell.strip() for cell in page.split("| KD |")[1].splitlines()[0].split("|")][:5] == [
        "73.33",
        "repdistiller",
        "50.00",
        "-23.33",
        "1 of 2",
    ]
    assert "resnet56_resnet20" in compare([])  # without a folder, what is published of all pairs


def check_beside(workdir, folder):
    """What is published is printed beside what lies in a folder."""
    (own, splits), each = own_results(workdir), 50_000 / 4
    assert splits == {"train"}
    assert own == {name: Own([], [2 / each], 2 / each) for name in ("teacher", "together")}
    write_measured(folder / "result.json", {"test/accuracy": 0.25})
    assert own_results(workdir)[0]["together"].accuracies == [0.25]
    said = compare([f"resnet32x4_resnet8x4={workdir}"], str(workdir / "table.md"))
    (row,) = (line for line in said.splitlines() if line.startswith("together"))
    assert row.split() == ["together", "–", "–", "25.00", "1", "of", "1", "0", "of", "0"]
    assert "| KD | 73.33 | repdistiller |" in (workdir / "table.md").read_text()
    with pytest.raises(UserError, match="there is no folder"):
        compare(["resnet32x4_resnet8x4=/nowhere"])
    with pytest.raises(UserError, match="nothing is published here of the pair"):
        compare([str(workdir)])


@pytest.mark.parametrize(("variant", "teacher"), [("r34_r18", "resnet34"), ("r50_mv1", "resnet50")])
def test_imagenets_pairs_as_shapes(variant, teacher, prepared, tmp_path):
    """With CIFAR's images in the size of ImageNet's, and a teacher of this architecture in the place of its weights."""
    config = imagenet.get_config(variant)
    config.data.update(name="cifar100", dir=str(prepared), train="train", validation="train", test="test")
    config.data.num_workers = 0
    terms = {name: options for run in config.runs.values() for name, options in run.terms.to_dict().items()}
    together = config.runs.reviewkd
    together.terms, together.batch_size = terms, 4
    together.teachers.teacher = schema.teacher_of_run("teacher")
    config.backend, config.eval_batch_size, config.table, config.control = "jit", 4, (), ""
    config.runs = {"teacher": schema.run(model={"name": teacher}, batch_size=4), "together": together}
    job = TrainingExperiment(config.to_dict(), tmp_path).runs["together"].job
    assert set(job.objective.terms) == set(terms) >= {"attention", "sdd_kd", "sdd_dkd", "sdd_nkd"}
    assert job.feed.example()["image"].shape == (4, 224, 224, 3)


def weights_of(goldens, name, file, classes=None):
    """A file of random weights, as the original's; of so many classes where they are said."""
    rows = [row.split() for row in np.load(GOLDENS / goldens)[f"{name}/shapes"]]
    shapes = {key: tuple(map(int, shape)) for key, *shape in rows}
    if classes:
        shapes |= {key: (classes, *shape[1:]) for key, shape in shapes.items() if key.startswith("fc.")}
    safetensors.numpy.save_file(random_weights(shapes), file)


@pytest.mark.parametrize(("variant", "teacher"), [("r34_r18", "resnet34"), ("r50_mv1", "resnet50")])
def test_imagenets_teachers_are_read_as_the_config_stands(variant, teacher, prepared, tmp_path):
    config = imagenet.get_config(variant)
    config.data.update(name="cifar100", dir=str(prepared), train="train", validation="train", test="test")
    config.runs, config.table, config.control = {"kd": config.runs.kd}, (), ""
    config.backend, config.eval_batch_size, config.runs.kd.batch_size, config.data.num_workers = "jit", 4, 4, 0
    with pytest.raises(UserError, match=f"weights/{teacher}-.*pth"):  # what is to be put there is said
        TrainingExperiment(config.to_dict(), tmp_path / "without")
    weights_of("zoo.npz", f"torchvision/{teacher}", tmp_path / "w.safetensors", classes=100)
    config.runs.kd.teachers.teacher.file = str(tmp_path / "w.safetensors")
    assert TrainingExperiment(config.to_dict(), tmp_path / "with").names == ["kd"]


def test_the_authors_own_teachers(prepared, tmp_path):
    for pair, (teacher, _) in cifar100.PAIRS.items():
        config = cifar100.get_config(f"{pair},theirs")
        source = config.runs.kd.teachers.teacher
        assert "teacher" not in config.runs
        assert source.file.lower() == f"save/models/{teacher}_vanilla/ckpt_epoch_240.pth"
        assert {"name": source.weights, **source.options} == cifar100.MODELS[teacher]
    config = config_of("resnet56_resnet20,theirs,tiny", prepared, "kd")
    weights_of("cifar_resnets.npz", "resnet56_projection", tmp_path / "w.safetensors")
    source = config.runs.kd.teachers.teacher
    source.file = str(tmp_path / "w.safetensors")
    datasets = TrainingExperiment(config.to_dict(), tmp_path / "work").datasets
    spec = make_teacher("config.teacher", source.to_dict(), None, datasets, (32, 32, 3))
    found = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), spec.load(None))
    assert found == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), spec.shapes)
    assert models.count_params(spec.shapes["params"]) == 861_620  # RepDistiller's


def test_imagenets_settings_are_those_that_are_published():
    config = imagenet.get_config("r50_mv1")
    mlkd = config.runs.mlkd
    del config.runs["mlkd"]
    assert (mlkd.optimizer.learning_rate, mlkd.batch_size, mlkd.terms.mlkd.temperature) == (0.1, 512, 1.0)
    assert (mlkd.terms.ce_strong.weight, mlkd.terms.mlkd.weight) == (0.5, pytest.approx(0.25))
    for name, run in config.runs.items():
        assert run.optimizer.learning_rate / run.batch_size == pytest.approx(0.1 / 256)
        assert run.batch_size == {"crd": 256, "reviewkd": 256, "ofd": 128}.get(name, 512)
        assert [round(share * 100) for share in run.schedule.boundaries] == [30, 60, 90]
    assert config.runs.reviewkd.terms.review.weight.peak == 8.0
    assert config.runs.ofd.terms.ofd.weight == 1e-4
    assert (config.runs.dkd.terms.dkd.beta, imagenet.get_config().runs.dkd.terms.dkd.beta) == (2.0, 0.5)
    sdd = config.runs.sdd_nkd.terms.sdd_nkd
    assert (sdd.gamma, sdd.temperature, sdd.finest) == (2.0, 1.0, 4)
    assert config.runs.kd_standardized.terms.soft_target.standardize
    assert {run.steps for run in imagenet.get_config("tiny").runs.values()} == {2}
