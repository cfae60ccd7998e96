"""Choosing from a folder of one's own, with networks of one's own."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image
from small_loops import loops

from effjax import uncertainty
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active import loop as labelling
from effjax.recipes.active.query import Suggestion, choose

IMAGES = 23
SETTINGS = {"k": 4, "image_size": 28, "batch_size": 8}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir):
    """Networks of labelling loops: of two seeds, and two in one checkpoint."""
    ensemble = schema.query(predictions="ensemble", members=2, score="bald")
    config = loops(data_dir, single=schema.query(selector="random"), ensemble=ensemble)
    config.active.rounds, config.num_seeds, config.data.train = 1, 2, "train[:200]"
    workdir = tmp_path_factory.mktemp("trained")
    experiment = active.ActiveExperiment(config.to_dict(), workdir)
    for together in experiment.loops():
        labelling.run_loops(together)
    return {
        "single": [workdir / "single" / "seed_0" / "round_00"],
        "two": [workdir / "single" / f"seed_{seed}" / "round_00" for seed in (0, 1)],
        "ensemble": [workdir / "ensemble" / "seed_0" / "round_00"],
        "root": ["/"],
        "here": ["."],
        "twice": [workdir / "single" / "seed_0" / "round_00", f"{workdir}/single/../single/seed_0/round_00/"],
    }


@pytest.fixture(scope="module")
def pool(tmp_path_factory, data_dir):
    """Digits in folders that mean nothing."""
    root, source = tmp_path_factory.mktemp("pool"), load("digits", "test", data_dir)
    for row in range(IMAGES):
        path = root / f"camera{row % 3}" / ("night" if row % 2 else "day") / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source[row]["image"][..., 0]).save(path)
    (root / "readme.txt").write_text("no image")
    return root


def rows(out):
    with (out / "queries.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_least_sure_are_chosen_and_written_down(trained, pool, tmp_path):
    everything = choose(trained["single"], pool, tmp_path / "all", **{**SETTINGS, "k": IMAGES})
    assert len({one.path for one in everything}) == IMAGES
    scores = [one.score for one in everything]
    assert scores == sorted(scores, reverse=True)
    chosen = choose(trained["single"], pool, tmp_path / "some", **SETTINGS)
    assert [one.path for one in chosen] == [one.path for one in everything[:4]]
    written = rows(tmp_path / "some")
    assert [row["path"] for row in written] == [one.path for one in chosen]
    assert all((pool / row["path"]).is_file() and row["label"] == "" for row in written)
    assert (tmp_path / "some" / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize("networks", ["two", "ensemble"])
def test_several_networks_disagree(trained, pool, tmp_path, networks):
    chosen = choose(trained[networks], pool, tmp_path, score="bald", **SETTINGS)
    assert chosen[0].score > chosen[-1].score >= -1e-6


@pytest.mark.parametrize("selector", ["badge", "k_center_greedy", "random", "power_batch"])
def test_every_selector_and_what_was_asked_before_is_left_out(trained, pool, tmp_path, selector):
    first = choose(trained["single"], pool, tmp_path / "1", selector=selector, **{**SETTINGS, "k": 12})
    then = choose(
        *(trained["single"], pool, tmp_path / "2"),
        selector=selector,
        without=[tmp_path / "1" / "queries.csv"],
        **{**SETTINGS, "k": IMAGES - 12},
    )
    assert not {one.path for one in first} & {one.path for one in then}


def test_a_broken_file_is_left_out_and_not_in_the_way(trained, pool, tmp_path):
    own = tmp_path / "pool"
    shutil.copytree(pool, own)
    (own / "a.png").write_bytes(b"no image")
    chosen = choose(trained["single"], own, tmp_path / "out", **{**SETTINGS, "k": IMAGES})
    assert "a.png" not in {one.path for one in chosen}
    with pytest.raises(UserError, match=r"--k=24: 23 images are there.*1 images cannot be read: a.png"):
        choose(trained["single"], own, tmp_path / "out", **{**SETTINGS, "k": IMAGES + 1})


@pytest.mark.parametrize(
    ("networks", "change", "message"),
    [
        ("single", {"score": "entropi"}, "--score=entropi; .*did you mean 'entropy'"),
        ("single", {"selector": "top"}, "--selector=top; "),
        ("single", {"predictions": "ensemble"}, "--predictions=ensemble of 1 networks"),
        ("single", {"score": "consistency"}, "--score='consistency' compares several predictions"),
        ("single", {"selector": "batch_bald"}, "--selector='batch_bald' compares several predictions"),
        ("single", {"image_size": 0}, "say --image_size"),
        ("single", {"image_size": 20}, "does not fit images of 20×20 pixels"),
        ("single", {"k": 30}, "--k=30: 23 images"),
        ("single", {"without": ["missing.csv"]}, "--without=missing.csv cannot be read"),
        ("single", {"pool": "~nobody_of_this_name/x"}, "pool ~nobody_of_this_name/x: there is no such folder"),
        ("root", {}, "no checkpoint in /checkpoints"),
        ("here", {}, "no checkpoint in checkpoints"),
        ("twice", {"score": "bald"}, "one is named twice, which would agree with itself"),
    ],
)
def test_what_cannot_be_used_is_said(trained, pool, tmp_path, networks, change, message):
    with pytest.raises(UserError, match=message):
        choose(trained[networks], change.pop("pool", pool), tmp_path, **{**SETTINGS, **change})


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_labels_in_a_table_of_before_are_not_written_over(trained, pool, tmp_path, delimiter):
    choose(trained["single"], pool, tmp_path, **SETTINGS)
    choose(trained["single"], pool, tmp_path, **SETTINGS)  # nobody has written anything yet
    path = tmp_path / "queries.csv"
    table = path.read_text().replace(",\n", ",cat\n", 2).replace(",", delimiter)
    path.write_text(table)
    with pytest.raises(UserError, match=r"queries.csv holds labels, which would be lost: give another --out"):
        choose(trained["single"], pool, tmp_path, **SETTINGS)
    assert path.read_text() == table
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(UserError, match=r"queries.csv is no table that can be written over"):
        choose(trained["single"], pool, tmp_path, **SETTINGS)


def test_scores_are_those_of_all_in_memory(trained, pool, tmp_path, data_dir):
    """Against the network by hand, on the dataset's own pixels."""
    from effjax.recipes.build.trained import TrainedRun

    chosen = choose(trained["single"], pool, tmp_path, **{**SETTINGS, "k": IMAGES})
    network, source = TrainedRun.open(trained["single"][0]), load("digits", "test", data_dir)
    images = np.stack([source[row]["image"] for row in range(IMAGES)])
    seen = network.view.see({"image": images})["image"]
    logits = network.model().apply(network.variables(), seen, train=False).logits
    probs = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = np.asarray(uncertainty.entropy(probs[None]))
    for one in chosen:
        row = int(one.path.split("/")[-1].removesuffix(".png"))
        assert one.score == pytest.approx(float(expected[row]), abs=1e-5)


def test_what_is_printed_a_terminal_only_shows():
    assert str(Suggestion("a\x1b[2J\nb.jpg", 0.5, "cat", 0.25)) == r"0.5000  a\x1b[2J\nb.jpg  (cat, 25%)"
