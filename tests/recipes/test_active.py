"""Labelling loops: killed anywhere they ask for the same examples, and people's labels are never lost."""

import csv
import json
import shutil

import numpy as np
import pytest
from small_loops import COUNT, ROUNDS, entries, loops

from effjax.data.ledger import Ledger
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active.folder import LEDGER_FILE
from effjax.recipes.active.loop import Waiting


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_dir):
    config = loops(data_dir, bald=schema.query(predictions="ensemble", members=2, score="bald")).to_dict()
    workdir = tmp_path_factory.mktemp("whole")
    return config, workdir, active.main(config, workdir)


def test_every_round_has_more_labels_of_other_examples(whole):
    _, workdir, summary = whole
    rounds = summary["bald"]["seeds"][0]["rounds"]
    assert [round_["labels"] for round_ in rounds] == [COUNT, 2 * COUNT, 3 * COUNT]
    asked = [line["id"] for line in entries(workdir / "bald" / "seed_0")[1:] if line["event"] == "asked"]
    assert len(set(asked)) == len(asked) == 3 * COUNT
    for key in ("validation/accuracy", "test/accuracy", "test/nll", "test/ece", "test/ece_scaled", "temperature"):
        assert all(np.isfinite(round_[key]) for round_ in rounds)


@pytest.mark.parametrize("lines", [1 + COUNT, 1 + 4 * COUNT + 3])
def test_cut_short_it_asks_for_the_same_examples(whole, tmp_path, lines):
    config, workdir, summary = whole
    shutil.copytree(workdir, tmp_path / "again")
    folder = tmp_path / "again" / "bald" / "seed_0"
    text = (folder / LEDGER_FILE).read_text().splitlines(keepends=True)
    (folder / LEDGER_FILE).write_text("".join(text[:lines]))
    done = (lines - 1) // (2 * COUNT)
    for round_ in range(done, ROUNDS):  # and what was trained after is not there either
        shutil.rmtree(folder / f"round_{round_:02d}", ignore_errors=True)
    again = active.main(config, tmp_path / "again")
    kept = ("round", "id", "event", "score", "label")
    ours, theirs = ([{k: e.get(k) for k in kept} for e in entries(f)] for f in (folder, workdir / "bald" / "seed_0"))
    assert ours == theirs
    assert again == summary


def test_networks_that_a_killed_process_had_still_to_forget_are_forgotten(whole, tmp_path):
    config, workdir, summary = whole
    shutil.copytree(workdir, tmp_path / "again")
    folder = tmp_path / "again" / "bald" / "seed_0"
    assert not (folder / "round_01" / "checkpoints").exists()
    shutil.copytree(folder / f"round_{ROUNDS - 1:02d}" / "checkpoints", folder / "round_01" / "checkpoints")
    assert active.main(config, tmp_path / "again") == summary
    assert not (folder / "round_01" / "checkpoints").exists()
    assert (folder / f"round_{ROUNDS - 1:02d}" / "checkpoints").exists()


def fill(path, label):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = label(int(row["id"]))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_people_label_in_a_folder(tmp_path, data_dir):
    config = loops(data_dir, entropy=schema.query())
    config.active.oracle, config.active.rounds = "folder", 2
    config = config.to_dict()
    folder = tmp_path / "entropy" / "seed_0"
    for round_ in range(2):
        for _ in range(2):  # asked twice, the same
            with pytest.raises(Waiting, match=rf"round {round_}: write a class \(0, 1, .*labels.csv"):
                active.main(config, tmp_path)
            summary = json.loads((tmp_path / active.SUMMARY_FILE).read_text())
            assert len(summary["entropy"]["seeds"][0]["rounds"]) == round_  # what is measured stays in sight
        path = folder / "queries" / f"round_{round_:02d}" / "labels.csv"
        fill(path, lambda id_: "seven" if id_ % 2 else "7")
        before = (folder / LEDGER_FILE).read_bytes()
        with pytest.raises(UserError, match="'seven' is no class"):
            active.main(config, tmp_path)
        assert (folder / LEDGER_FILE).read_bytes() == before  # nothing half-applied
        fill(path, lambda id_: "skip" if id_ % 3 == 0 else str(id_ % 10))
    summary = active.main(config, tmp_path)
    ledger = Ledger(folder / LEDGER_FILE, entries(folder)[0]["identity"])
    labels = ledger.labels()
    assert labels == {id_: id_ % 10 for id_ in labels}
    assert summary["entropy"]["seeds"][0]["rounds"][-1]["labels"] == len(labels)
    assert {e.event for e in ledger.entries} == {"asked", "labelled", "skipped"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["active"].update(oracle="folders"), r"active.oracle='folders'.*did you mean 'folder'"),
        (lambda c: c["active"].update(per_round=0), r"active.per_round=0 must be a whole number"),
        (lambda c: c["runs"]["a"].update(query={}), r"config.runs: none has a query"),
        (lambda c: c["runs"]["a"].update(steps=0), r"runs.a.steps=0: give a length in steps"),
        (lambda c: c["runs"]["a"]["query"].update(score="entropi"), r"query.score='entropi'.*did you mean 'entropy'"),
        (lambda c: c["runs"]["a"]["query"].update(selector="badges"), r"query.selector='badges'.*'badge'"),
        (lambda c: c["runs"]["a"]["query"].update(scores=1), r"query.scores is not a key"),
        (
            lambda c: c["runs"]["a"]["query"].update(score="variation_ratio"),
            r"runs.a.query.score='variation_ratio' compares several predictions .*'single' gives one.*another score",
        ),
        (
            lambda c: c["runs"]["a"]["query"].update(selector="batch_bald"),
            r"query.selector='batch_bald' compares several",
        ),
        (
            lambda c: (
                c["runs"]["a"]["query"].update(predictions="dropout"),
                c["runs"]["a"]["model"].update(dropout=0.0),
            ),
            r"runs.a.query: predictions='dropout': Mlp drops nothing",
        ),
    ],
)
def test_bad_loops_are_refused(tmp_path, data_dir, change, message):
    config = loops(data_dir, a=schema.query()).to_dict()
    change(config)
    with pytest.raises(UserError, match=message):
        active.main(config, tmp_path)
