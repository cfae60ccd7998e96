"""A whole experiment through the launchers, as a user runs it."""

import json

import pytest
from processes import finish, start, train

from effjax.recipes.build.hashes import params_sha256
from effjax.runtime.checkpoints import read_variables


@pytest.fixture(scope="module")
def plain(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("plain")
    finish(train("plain", workdir, data_dir, "--config.num_seeds=2"))
    return workdir


def test_summary_says_what_it_must(plain):
    summary = json.loads((plain / "summary.json").read_text())
    assert set(summary) == {"teacher", "student", "distilled"}
    for name, run in summary.items():
        assert run["params"] > 0
        assert run["mflops"] > 0
        assert [seed["seed"] for seed in run["seeds"]] == [0, 1]
        for seed in run["seeds"]:
            assert {"test/accuracy", "test/accuracy_best", "agreement", "test/ece", "params_sha256"} <= set(seed)
            variables = read_variables(plain / name / f"seed_{seed['seed']}" / "checkpoints", 8)
            assert params_sha256(variables["params"]) == seed["params_sha256"]
    assert summary["teacher"]["seeds"][0]["agreement"] == 1.0
    assert summary["student"]["params"] == 784 * 16 + 16 + 16 * 10 + 10
    assert summary["student"]["mflops"] == pytest.approx(2 * (784 * 16 + 16 * 10) / 1e6, rel=0.01)
    hashes = [seed["params_sha256"] for run in summary.values() for seed in run["seeds"]]
    assert len(set(hashes)) == 6  # seeds and methods differ


def test_files_for_people(plain):
    assert "<table>" in (plain / "report.html").read_text()
    assert (plain / "curves.png").stat().st_size > 10_000
    assert (plain / "table.md").read_text().startswith("| run |")
    assert list((plain / "student" / "seed_0" / "events").glob("events.out.tfevents.*"))


def test_again_finds_it_done_and_one_seed_is_the_same_as_in_company(plain, tmp_path, data_dir):
    before = (plain / "summary.json").read_text()
    err = finish(train("plain", plain, data_dir, "--config.num_seeds=2"))
    assert "stage 1/" not in err  # nothing was trained
    assert (plain / "summary.json").read_text() == before
    finish(train("plain", tmp_path, data_dir, "--config.seed=1"))
    alone = json.loads((tmp_path / "summary.json").read_text())
    for name, run in json.loads(before).items():
        assert alone[name]["seeds"] == run["seeds"][1:]


def test_processes_share_an_experiment(plain, tmp_path, data_dir):
    """Two at once, each with runs of its own; the report comes with the call that finds all of them done."""
    given = (tmp_path, data_dir, "--config.seed=1")
    for process in [train("plain", *given, f"--only={run}") for run in ("student", "teacher")]:
        finish(process)
    assert not (tmp_path / "summary.json").exists()
    assert not (tmp_path / "distilled").exists()
    err = finish(train("plain", *given))
    assert [name for name in ("teacher", "student", "distilled") if f"{name} seed 1: stage 1/" in err] == ["distilled"]
    together = json.loads((plain / "summary.json").read_text())
    for name, run in json.loads((tmp_path / "summary.json").read_text()).items():
        assert run["seeds"] == together[name]["seeds"][1:]


def test_evaluate_agrees_with_the_summary(plain, data_dir):
    seed = json.loads((plain / "summary.json").read_text())["teacher"]["seeds"][0]
    process = start("launch.evaluate", f"--run={plain}/teacher/seed_0", "--split=test", f"--data_dir={data_dir}")
    found = json.loads(process.communicate(timeout=120)[0])
    assert found["examples"] == 1000
    assert found["accuracy"] == pytest.approx(seed["test/accuracy"], abs=1e-9)
    assert found["ece"] == pytest.approx(seed["test/ece"], abs=1e-6)
