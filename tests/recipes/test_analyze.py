"""The whole analysis on networks trained for a moment."""

import json
import shutil

import jax
import numpy as np
import pytest
import small_configs

from effjax.data.sources import load
from effjax.errors import UserError
from effjax.recipes.analyze import seeds as analyze_seeds_module
from effjax.recipes.analyze.experiment import analyze
from effjax.recipes.analyze.networks import open_panel
from effjax.recipes.analyze.views import DOMAINS, LADDER, TRANSFORMS, answers
from effjax.recipes.build.evaluation import predictor
from effjax.recipes.build.networks import make_model
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime import jit_backend
from effjax.runtime.checkpoints import read_meta, read_variables
from effjax.steps import Network


@pytest.fixture(scope="module", autouse=True)
def compile_quickly():
    """Here next to all time goes into compiling."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data_dir):
    """A teacher and students, three seeds each; which of the students are controls does not matter here."""
    config = small_configs.plain()
    config.data.dir, config.num_seeds = str(data_dir), 3
    del config.runs["distilled"]
    workdir = tmp_path_factory.mktemp("analyze")
    for _ in TrainingExperiment(config.to_dict(), workdir).train():
        pass
    return workdir


def call(runs, data_dir, **options):
    options = {"controls": [f"{runs}/student/seed_0", f"{runs}/student/seed_1"], "max_examples": 50, **options}
    students = options.pop("students", [f"mine={runs}/student/seed_2", f"copy={runs}/teacher/seed_0"])
    return analyze(f"{runs}/teacher/seed_0", students, data_dir=str(data_dir), **options)


@pytest.fixture(scope="module")
def findings(runs, data_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("findings")
    return call(runs, data_dir, out=out), out


def rows(findings, name):
    (measure,) = (m for m in findings["measures"] if m["name"] == name)
    return {row["network"]: row for row in measure["rows"]}


def test_every_measure_has_its_control_beside_it(findings):
    found, _ = findings
    assert [network["role"] for network in found["networks"]] == ["teacher", "student", "student", "control", "control"]
    assert {m["group"] for m in found["measures"]} == {
        "answers", "layers", "localisation", "attack", "invariance", "domains"
    }  # fmt: skip
    for measure in found["measures"]:
        if measure.get("examples") == 0:  # an attack that turns no answer at all
            continue
        for row in measure["rows"]:
            assert row["control"] is not None or "foreign" in measure["name"]
            if row["difference"]:
                gap = row["value"]["value"] - row["control"]
                assert row["difference"]["value"] == pytest.approx(gap, abs=1e-5)


def test_values_are_those_of_the_answers(findings, runs, data_dir):
    """By the way that ``launch.evaluate`` goes, on the same images."""
    source = load("digits", "test", data_dir)
    chosen = np.sort(np.random.default_rng(0).permutation(len(source))[:50])
    logits = {}
    for run in ("teacher/seed_0", "student/seed_2"):
        folder = runs / run / "checkpoints"
        model = make_model(read_meta(folder, 8)["identity"]["run"]["model"], 10)
        logits[run] = predictor(Network(model), jit_backend(), 500)(read_variables(folder, 8), source)[chosen]
    found, _ = findings
    right = logits["student/seed_2"].argmax(-1) == source.column("label")[chosen]
    assert rows(found, "accuracy")["mine"]["value"]["value"] == pytest.approx(right.mean(), abs=1e-6)
    same = logits["student/seed_2"].argmax(-1) == logits["teacher/seed_0"].argmax(-1)
    assert rows(found, "agreement with the teacher")["mine"]["value"]["value"] == pytest.approx(same.mean(), abs=1e-6)
    p, q = (
        np.exp(x / 4) / np.exp(x / 4).sum(-1, keepdims=True)
        for x in (logits["teacher/seed_0"], logits["student/seed_2"])
    )
    kl = (p * np.log(p / q)).sum(-1).mean()
    measured = rows(found, "KL from the teacher at temperature 4")["mine"]["value"]["value"]
    assert measured == pytest.approx(kl, rel=1e-3, abs=1e-6)


def test_two_controls_against_each_other_are_chance(findings):
    found, _ = findings
    own = rows(found, "map more like the teacher's than the control's is")
    first, second = (own[f"student seed {seed}"]["value"]["value"] for seed in (0, 1))
    assert first + second == pytest.approx(1.0, abs=1e-6)
    for name, matrix in found["cka"].items():
        values = np.array(matrix["values"])
        assert values.shape == (len(matrix["teacher_layers"]), len(matrix["layers"])), name
        assert matrix["teacher_layers"] == ["conv1", "conv2", "dense1"]  # the last is what the classifier reads
        assert np.isfinite(values).all()


def test_files(findings):
    found, out = findings
    assert json.loads((out / "analysis.json").read_text()) == found
    page = (out / "analysis.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert 'src="http' not in page
    assert "nan" not in page.split("How this was made")[0].lower().replace("data:image", "").split("<img")[0]


def test_a_network_is_its_own_perfect_student(findings):
    found, _ = findings
    for name in (
        "agreement with the teacher",
        "agreement on edges",
        "alignment (CKA) of the last layers",
        "fooled by the teacher's attack",
    ):
        assert rows(found, name)["copy"]["value"]["value"] == pytest.approx(1.0, abs=1e-4), name
    zero = found["zero_maps"]["teacher seed 0"] / found["examples"]  # is like nothing, not even itself
    cosine = rows(found, "cosine of the maps with the teacher's")["copy"]["value"]["value"]
    assert cosine == pytest.approx(1.0 - zero, abs=1e-4)
    divergence = rows(found, "KL from the teacher at temperature 1")["copy"]["value"]["value"]
    assert divergence == pytest.approx(0.0, abs=1e-6)


def test_a_change_is_drawn_from_seed_and_id(array_source):
    class Reader:
        label = "reader"

        def logits(self, pixels):
            return pixels.reshape(len(pixels), -1)

    def noisy(ids, seed=0, size=3):
        images = np.stack([array_source(9)[i]["image"] for i in ids])
        return answers([Reader()], images, np.array(ids), DOMAINS["noisy images"], seed, "noise", size)["reader"]

    first = noisy([1, 2, 3, 4])
    np.testing.assert_array_equal(noisy([4, 2, 1], size=2), first[[3, 1, 0]])
    assert not np.array_equal(noisy([1, 2, 3, 4], seed=1), first)


def test_what_cannot_be_compared_is_refused(runs, data_dir, tmp_path):
    with pytest.raises(UserError, match="no checkpoint in"):
        call(runs, data_dir, students=[str(tmp_path)])
    with pytest.raises(UserError, match=r"names two runs: give them labels"):
        call(runs, data_dir, students=[f"{runs}/student/seed_0"])
    with pytest.raises(UserError, match="--students is empty"):
        call(runs, data_dir, students=[])
    with pytest.raises(UserError, match="names no run's folder"):
        call(runs, data_dir, foreign="other=")
    with pytest.raises(UserError, match="split"):
        call(runs, data_dir, split="tset")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_classes": 7}, r"the number of classes \(num_classes\) is 7 there, 10 for the teacher"),
        ({"data": {"name": "shapes_basic"}}, r"the dataset \(data.name\) is 'shapes_basic' there, 'digits'"),
    ],
)
def test_networks_of_other_data_are_refused(runs, data_dir, tmp_path, change, said):
    shutil.copytree(runs / "student" / "seed_0", tmp_path / "other")
    for notes in (tmp_path / "other" / "checkpoints").glob("*/meta/metadata"):
        meta = json.loads(notes.read_text())
        meta["identity"].update(change)
        # As an earlier version wrote them, without a seal that the change would break.
        notes.write_text(json.dumps({key: meta[key] for key in ("identity", "best")}))
    with pytest.raises(UserError, match=said):
        open_panel(str(runs / "teacher" / "seed_0"), [str(tmp_path / "other")], [], "", "last")


def one_seed(gain, chance):
    """Findings of one seed: a measure with a gain, and one that says nothing."""

    def row(network, value, difference):
        return {"network": network, "value": {"value": value}, "difference": {"value": difference}}

    rows = [row("taught", 0.5 + gain, gain), row("alone", 0.5, chance)]
    measures = [
        {"group": "answers", "name": "accuracy", "unit": "share", "rows": rows},
        {"group": "attack", "name": "fooled", "unit": "share", "rows": []},
    ]
    return {"dataset": "digits", "measures": measures}


def test_seeds_are_gathered_with_their_interval(tmp_path, monkeypatch):
    asked, answers_by_seed = [], {0: one_seed(0.02, 0.01), 3: one_seed(0.04, -0.01)}

    def stand_in(teacher, students, controls, *, foreign, out):
        asked.append((teacher, *students, *controls, foreign))
        return answers_by_seed[int(teacher[-1])]

    monkeypatch.setattr(analyze_seeds_module, "analyze", stand_in)
    found, nothing = analyze_seeds_module.analyze_seeds(
        "runs", "big", ["taught"], "alone", [0, 3], out=tmp_path, results=tmp_path / "r.md"
    )
    ends = [path.split("=")[1] for path in asked[1]]
    assert ends == [
        f"runs/{name}" for name in ("big/seed_3", "taught/seed_3", "alone/seed_3", "alone/seed_0", "big/seed_0")
    ]
    assert found["control"] == 0.5
    assert found["chance"] == pytest.approx(0.01)
    assert found["students"]["taught"]["mean"] == pytest.approx(0.03)
    assert found["students"]["taught"]["spread"] == pytest.approx(
        12.7062 * 0.01, rel=1e-4
    )  # t of one degree of freedom
    assert nothing["students"]["taught"] is None
    page = (tmp_path / "r.md").read_text()
    assert "| accuracy | 50.0 | ±1.0 | +3.0 ± 12.7 |" in page
    assert "| fooled | – | – | – |" in page
    with pytest.raises(UserError, match=r"--seeds=0: an interval over seeds needs two or more"):
        analyze_seeds_module.analyze_seeds("runs", "big", ["taught"], "alone", [0], out=tmp_path)


@pytest.mark.parametrize(("size", "most"), [(28, 3), (8, 1), (4, 1)])
def test_shifts_are_of_a_tenth_of_the_width_at_most(size, most):
    point = np.zeros((200, size, size, 1), np.float32)
    point[:, size // 2, size // 2] = 1
    moved = np.asarray(TRANSFORMS["shift"](jax.random.split(jax.random.key(0), 200), point)).reshape(200, -1)
    found = np.stack(np.unravel_index(moved.argmax(1), (size, size))) - size // 2
    assert (found.min(1).tolist(), found.max(1).tolist()) == ([-most] * 2, [most] * 2)


def test_attacks_grow_from_a_level_to_a_quarter_of_all():
    assert tuple(sorted(LADDER)) == LADDER
    assert (LADDER[0], LADDER[-1]) == (1, 64)
