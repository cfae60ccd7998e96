"""The report on labelling loops: of real loops, over or waiting, with or without what they may leave behind."""

import copy
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active import report as active_report
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.watch import watched_ids
from effjax.recipes.build.datasets import open_datasets

ROUNDS, COUNT = 2, 10
LEVELS = (0.05, 0.99)


def reported(config, workdir, datasets):
    return SimpleNamespace(config=config, workdir=workdir, datasets=datasets, watched=watched_ids(config))


def experiment(data_dir):
    config = schema.experiment()
    config.recipe = "active"
    config.data.dir, config.eval_batch_size = str(data_dir), 100
    config.active.update(initial=COUNT, per_round=COUNT, rounds=ROUNDS)
    for name, query in {"entropy": schema.query(), "chance": schema.query(selector="random")}.items():
        config.runs[name] = schema.run(model={"name": "mlp", "widths": (8,)}, steps=8, evaluations=1)
        config.runs[name].update(batch_size=8, query=query, label=f"by {name}")
    config.claims = (("Entropy helps", "entropy", "chance"),)
    return config.to_dict()


def test_what_is_watched_is_found_and_what_there_is_not_is_refused(data_dir):
    config = experiment(data_dir)
    assert watched_ids(config) is None
    config["active"]["watch"] = ("3", "8")
    ids, share = watched_ids(config)
    pool = open_datasets(config).train
    labels = dict(zip(pool.ids().tolist(), pool.column("label").tolist(), strict=True))
    names = pool.info.class_names
    assert {names[labels[id_]] for id_ in ids.tolist()} == {"3", "8"}
    assert share == pytest.approx(np.mean([names[label] in ("3", "8") for label in labels.values()]))
    for change, message in (
        ({"watch": ("3", "33")}, r"config\.active\.watch: no class '33'; allowed: .*"),
        (
            {"watch_by": "kind"},
            r"config\.active\.watch_by='kind': digits has no such feature with names; allowed: lab",
        ),
    ):
        with pytest.raises(UserError, match=message):
            watched_ids(config | {"active": {**config["active"], **change}})
    with pytest.raises(UserError, match=r"nobody knows the classes of config\.data\.pool"):
        watched_ids(config | {"data": {**config["data"], "pool": "photos"}})


def add_files(folder, datasets, rng):
    """What a loop may leave besides its ledger."""
    ledger = LoopFolder(folder).ledger()
    for round_ in range(ROUNDS):
        inside = folder / f"round_{round_:02d}"
        probs = rng.dirichlet(np.ones(10), len(datasets.test)).astype(np.float32)
        np.save(inside / "test_probs.npy", probs)
        labels = ledger.labels(before=round_ + 1)
        ids = np.array(list(labels))
        values = {name: rng.random(len(ids)) for name in ("confidence", "variability", "correctness")}
        np.savez(inside / "map.npz", id=ids, label=np.array(list(labels.values())), **values)
        if round_:
            asked = [entry for entry in ledger.entries if entry.round == round_ and entry.event == "asked"]
            queries = [{"id": e.id, "score": e.score, "nearest": int(ids[0]), "distance": 2.5} for e in asked]
            (inside / "queries.json").write_text(json.dumps(queries))
    removed = {"by": "correctness", "share": 0.1, "source": "labels", "ids": [int(i) for i in ids[:3]]}
    (inside / "removed.json").write_text(json.dumps(removed))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_dir):
    workdir = tmp_path_factory.mktemp("loops")
    config = experiment(data_dir)
    summary = active.main(config, workdir)
    config["active"]["levels"] = LEVELS
    for name, run in summary.items():  # a second seed that differs in nothing: trained faster
        shutil.copytree(workdir / name / "seed_0", workdir / name / "seed_1")
        run["seeds"].append({**copy.deepcopy(run["seeds"][0]), "seed": 1})
    for run in summary.values():
        for seed in run["seeds"]:
            for round_ in seed["rounds"]:
                round_["cost"] = 2.0 * round_["labels"]
    datasets = open_datasets(config)
    rng = np.random.default_rng(0)
    for name in config["runs"]:
        for seed in range(2):
            add_files(workdir / name / f"seed_{seed}", datasets, rng)
    return config, workdir, datasets, summary


def page_of(workdir):
    return (workdir / "report.html").read_text()


def test_a_finished_experiment(whole, tmp_path, monkeypatch):
    config, workdir, datasets, summary = whole
    results, read = tmp_path / "results" / "active.md", []
    ledger = LoopFolder.ledger
    monkeypatch.setattr(LoopFolder, "ledger", lambda folder: read.append(folder) or ledger(folder))
    active_report.report(reported(config, workdir, datasets), summary, results, final=True)
    assert len(read) == len(set(read)) == 4  # long ones are read once
    page = page_of(workdir)
    assert "http" not in page
    assert page.count('src="data:image/png;base64,') == page.count("<img")
    for section in ("Learning curves", "By what was spent", "What was asked for", "Classes by round", "Dataset maps"):
        assert f">{section}<" in page
    assert "Entropy helps" in page
    assert "3 removed, 10 % by correctness, source: labels" in page
    assert page.count("<details>") == 4  # what was asked, and the ends of the map, for each run
    assert page.count(f"· {COUNT} asked, {COUNT} labelled") == 2 * ROUNDS
    assert "distance 2.5" in page
    assert "per_round: 10" in page
    assert len(page) < 3 * 2**20
    text = results.read_text()
    assert text.startswith("# Active learning on digits\n\n| run | labels | test acc. |")
    assert "![test accuracy by the number of labels](active.png)" in text
    assert (results.parent / "active.png").read_bytes() == (workdir / "learning_curves.png").read_bytes()
    assert "\n\ncommand: " in text
    assert text.split("\n\n", 2)[1] == (workdir / "table.md").read_text().split("\n\n", 1)[0]
    rows = text.splitlines()[4:6]
    assert [row.split(" | ")[0] for row in rows] == ["| by chance", "| by entropy"]  # the control comes first
    # The first round reaches 5 %, none reaches 99 %.
    assert "| by chance | 10 ± 0 |  | > 20 (0 of 2 seeds) |  |" in text
    assert "| Entropy helps | by entropy − by chance | " in text


def test_what_is_not_there_is_left_out(whole, tmp_path):
    config, workdir, datasets, summary = whole
    for folder in workdir.glob("*/seed_*/round_*"):
        target = tmp_path / folder.relative_to(workdir)
        target.mkdir(parents=True)
    shutil.copy(workdir / "entropy" / "seed_0" / "ledger.jsonl", tmp_path / "entropy" / "seed_0")
    active_report.report(reported(config, tmp_path, datasets), summary, None, final=True)
    page = page_of(tmp_path)
    assert page.count("<details>") == 1
    assert "distance" not in page
    for absent in ("Dataset maps", "reliability diagrams"):
        assert absent not in page
    (tmp_path / "entropy" / "seed_0" / "ledger.jsonl").unlink()
    config = copy.deepcopy(config)
    del config["active"]["levels"]
    active_report.report(reported(config, tmp_path, datasets), summary, "", final=True)
    page = page_of(tmp_path)
    for absent in ("What was asked for", "Classes by round", "labels for 5 %"):
        assert absent not in page
    assert ">Learning curves<" in page


def test_while_loops_wait(whole, tmp_path):
    config, workdir, datasets, summary = whole
    shutil.copytree(workdir / "entropy", tmp_path / "entropy", ignore=shutil.ignore_patterns("checkpoints"))
    ledger = tmp_path / "entropy" / "seed_0" / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[: 1 + 3 * COUNT]))  # the last round is asked for, not answered
    waiting = copy.deepcopy(summary)
    for run in waiting.values():
        for seed in run["seeds"]:
            for round_ in seed["rounds"]:
                for key in [key for key in round_ if key.startswith("test_")]:
                    del round_[key]
    waiting["entropy"]["seeds"][0]["rounds"].pop()
    waiting["entropy"]["seeds"][1]["rounds"].clear()
    active_report.report(reported(config, tmp_path, datasets), waiting, None, final=False)
    page = page_of(tmp_path)
    assert f"Waiting for people: by entropy seed 0, round 1: {COUNT} labels." in page
    assert f"· {COUNT} asked, {COUNT} waiting" in page
    assert "The test split was not looked at." in page
    assert "Results on the validation set" in page
    assert "test acc." not in page


def test_a_search_speaks_of_the_validation_split(whole, tmp_path):
    config, _, datasets, summary = whole
    config = copy.deepcopy(config)
    config["data"]["test"] = config["data"]["validation"]
    active_report.report(reported(config, tmp_path, datasets), summary, tmp_path / "table.md", final=True)
    page, text = page_of(tmp_path), (tmp_path / "table.md").read_text()
    assert "Results on the validation set" in page
    assert "The test split was not looked at." in text
    assert "validation acc." in text
    assert "test acc." not in text


def test_before_the_first_round_there_is_nothing_to_report(whole, tmp_path):
    config, _, datasets, summary = whole
    empty = {name: {"seeds": [{"seed": 0, "rounds": []}]} for name in summary}
    active_report.report(reported(config, tmp_path, datasets), empty, None, final=False)
    assert not list(tmp_path.iterdir())


def test_control_and_labels_are_those_of_the_config(whole):
    config, workdir, datasets, summary = whole
    config = copy.deepcopy(config)
    config["control"], config["runs"]["entropy"]["label"] = "entropy", config["runs"]["chance"]["label"]
    active_report.report(reported(config, workdir, datasets), summary, None, final=True)
    rows = (workdir / "table.md").read_text().splitlines()[2:4]
    assert rows[0].startswith("| by chance (entropy) |")  # two of one label are told apart
    assert rows[1].startswith("| by chance (chance) |")
