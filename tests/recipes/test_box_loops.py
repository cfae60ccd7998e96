"""Labelling loops whose people draw boxes on photos: the files, the ledger, what is learnt, what it costs."""

import json
import re
import shutil

import numpy as np
import pytest
from small_boxes import CLASSES, asked, config_of, draw_all, draw_photo, make_photos
from small_pools import fill, ledger_of, loop_folder

from effjax.data.centre_squares import boxes_in_square, boxes_on_whole
from effjax.data.ledger import Ledger
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active.checks import loop_problems
from effjax.recipes.active.oracles import LabelStudioBoxOracle
from effjax.recipes.active.trainer import Trainer
from effjax.specs import Spec
from effjax.tasks.answers import with_prices
from effjax.tasks.box_answers import BoxAnswers


def true_boxes(ledger, id_):
    """As answers have them."""
    seed = int(ledger.files()[id_].path.removesuffix(".png"))
    return [
        {"box": pytest.approx([y / 32, x / 48, (y + h) / 32, (x + w) / 48], abs=1e-5), "class": CLASSES[kind]}
        for (x, y, w, h), kind in draw_photo(seed)[1]
    ]


def test_people_draw_boxes_on_photos_of_their_own(tmp_path):
    make_photos(tmp_path)
    config = config_of(tmp_path, prices={"draw": 3.0})
    folder = asked(tmp_path, config)
    page = json.loads((folder / "annotations.json").read_text())
    assert page["annotations"] == []  # nobody has looked yet
    assert {(one["width"], one["height"]) for one in page["images"]} == {(528, 352)}  # the whole photo, enlarged
    assert asked(tmp_path, config) == folder  # untouched: nothing happens
    assert len(ledger_of(tmp_path).open()) == 4

    draw_all(folder, ledger_of(tmp_path), marks="")
    before = (loop_folder(tmp_path) / "ledger.jsonl").read_bytes()
    page = json.loads((folder / "annotations.json").read_text())
    good = json.dumps(page)
    page["annotations"][-1]["bbox"][0] = 5000
    (folder / "annotations.json").write_text(json.dumps(page))
    with pytest.raises(UserError, match=r"annotations.json: image \d+.jpg, annotation \d+: its box from \(5000, "):
        active.main(config.to_dict(), tmp_path / "work")
    assert (loop_folder(tmp_path) / "ledger.jsonl").read_bytes() == before
    (folder / "annotations.json").write_text(good)
    fill(folder / "labels.csv", lambda row: "done")
    assert asked(tmp_path, config).name == "round_01"
    ledger = ledger_of(tmp_path)
    assert ledger.labels() == {id_: true_boxes(ledger, id_) for id_ in ledger.asked_in(0)}
    costs = {entry.id: entry.cost for entry in ledger.entries if entry.event == "labelled"}
    assert costs == {id_: 2 + 3 * len(boxes) for id_, boxes in ledger.labels().items()}
    assert len(set(costs.values())) > 1

    page = json.loads(good)
    changed = page["annotations"].pop()["image_id"]
    (folder / "annotations.json").write_text(json.dumps(page))
    asked(tmp_path, config)
    (correction,) = [entry for entry in ledger_of(tmp_path).entries if entry.event == "corrected"]
    assert (correction.id, correction.answer) == (changed, true_boxes(ledger, changed)[:-1])
    draw_all(loop_folder(tmp_path) / "queries" / "round_01", ledger_of(tmp_path))
    summary = active.main(config.to_dict(), tmp_path / "work")
    assert [one["labels"] for one in summary["mine"]["seeds"][0]["rounds"]] == [4, 7]
    assert "mAP" in (tmp_path / "work" / "report.html").read_text()


def test_networks_learn_what_they_are_shown_of_a_photo(tmp_path):
    """A photo of 48×32: the network sees its middle 32×32."""
    make_photos(tmp_path, 3)
    specs = {
        "objects/bbox": Spec(np.float32, (4, 4), 0),
        "objects/label": Spec(np.int32, (4,), -1),
        "objects/valid": Spec(np.bool_, (4,), False),
    }
    pool = UnlabelledFolder(tmp_path / "pool", image_size=16, channels=3, class_names=CLASSES, targets=specs)
    assert pool.size_of(1) == (32, 48)
    assert pool[0]["objects/label"].tolist() == [-1] * 4
    assert pool.column("objects/bbox").shape == (3, 4, 4)
    trainer = object.__new__(Trainer)
    trainer.pool, trainer.answers = pool, BoxAnswers(CLASSES)
    answer = [
        {"box": [0.25, 0.5, 0.75, 0.75], "class": "red"},
        {"box": [0.0, 0.0, 1.0, 0.25], "class": "light"},  # left of what the network sees: 8 of 48 are
    ]
    learnt = trainer._learnt(1, answer)
    np.testing.assert_allclose(learnt["objects/bbox"][0], [0.25, 0.5, 0.75, 0.875], atol=1e-6)
    np.testing.assert_allclose(learnt["objects/bbox"][1], [0, 0, 1, 0.125], atol=1e-6)
    beside = trainer._learnt(1, [{"box": [0.0, 0.0, 1.0, 8 / 48], "class": "light"}])
    assert beside["objects/bbox"].shape == (0, 4)


def test_prices_are_those_of_the_loop():
    answers = BoxAnswers(CLASSES)
    dear = with_prices(answers, {"draw": 30.0, "look": 0.0})
    boxes = [{"box": [0, 0, 1, 1], "class": "red"}] * 2
    assert (answers.cost(boxes), dear.cost(boxes), dear.cost([])) == (16.0, 60.0, 0.0)
    assert with_prices(answers, {}) is answers
    config = schema.experiment()
    config.task = "detection"
    config.active.prices = {"drw": 3.0, "look": 1.0}
    said = [line for line in loop_problems(config.to_dict()) if "prices" in line]
    none = "config.active.prices.drw: answers of the task 'detection' have none"
    assert said == [f"{none}; allowed: draw, look, tag, verify (did you mean 'draw'?)"]
    config.task = "classification"
    said = [line for line in loop_problems(config.to_dict()) if "prices" in line]
    none = "answers of the task 'classification' have no prices: each costs config.active.cost_per_label"
    assert said == [f"config.active.prices.{name}: {none}" for name in ("drw", "look")]
    config.active.prices = {"draw": -1.0}
    with pytest.raises(UserError, match=r"config.active.prices.draw=-1.0 must be a number from 0"):
        schema.check(config.to_dict())


def test_prices_make_another_loop_and_their_absence_none(tmp_path):
    make_photos(tmp_path)
    config = config_of(tmp_path)
    asked(tmp_path, config)
    path = loop_folder(tmp_path) / "ledger.jsonl"
    assert "prices" not in json.loads(path.read_text().splitlines()[0])["identity"]["active"]
    config.active.prices = {"draw": 3.0}
    with pytest.raises(UserError, match=re.escape("is the ledger of another loop (active differ)")):
        active.main(config.to_dict(), tmp_path / "work")
    path.unlink()
    asked(tmp_path, config)
    assert Ledger(path).identity["active"]["prices"] == {"draw": 3.0}


def test_a_loop_may_be_answered_in_label_studio(tmp_path):
    make_photos(tmp_path)
    config = config_of(tmp_path)
    config.active.oracle = "label_studio"
    folder = asked(tmp_path, config)
    assert not (folder / "annotations.json").exists()
    assert '<Label value="red"/>' in (folder / "label_config.xml").read_text()
    assert len(json.loads((folder / "tasks.json").read_text())) == 4
    assert LabelStudioBoxOracle(folder.parent, BoxAnswers(CLASSES)).wants_proposals(1)


def test_data_of_boxes_beside_a_pool(tmp_path, caplog):
    """A photo that is measured by and lies in the pool is said; without a test split validation stands for it."""
    make_photos(tmp_path)
    shutil.copy(tmp_path / "photos" / "valid" / "1.png", tmp_path / "pool" / "copy.png")
    shutil.rmtree(tmp_path / "photos" / "test")
    config = config_of(tmp_path)
    with caplog.at_level("INFO", "effjax"):
        asked(tmp_path, config)
    assert "copy.png = valid/1.png" in caplog.text
    assert "has no test split: the report is of validation" in caplog.text
    config.data.padded = {}
    with pytest.raises(UserError, match=r"photos \(validation\): .* config.data.padded = {'objects': 32}$"):
        active.main(config.to_dict(), tmp_path / "another")


def test_boxes_of_the_square_and_of_the_whole_are_each_others_inverse():
    boxes = np.array([[0.25, 0.3, 0.75, 0.6], [0.5, 0.5, 0.75, 0.625]])
    for height, width in ((30, 40), (40, 30), (7, 7)):
        whole = boxes_on_whole(boxes, height, width)
        np.testing.assert_allclose(boxes_in_square(whole, height, width)[0], boxes, atol=1e-6)
