"""People's answers: taken over whole or not at all, with every mistake listed."""

import csv
import json

import numpy as np
import pytest
from conftest import ArraySource
from PIL import Image

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE
from effjax.errors import UserError
from effjax.recipes.oracles import DatasetOracle, FolderOracle, LabelStudioOracle, Query

CLASSES = ("cat", "dog", "cow")
IDS = (17, 3, 250)


def queries(channels=3):
    rng = np.random.default_rng(0)
    return [Query(id_, 0.5, rng.integers(0, 256, (9, 7, channels), dtype=np.uint8)) for id_ in IDS]


def fill(path, labels, **changes):
    """Writes labels into the table, and other changes ``row index -> {column: text}``."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = labels.get(int(row["id"]), "")
    for index, change in changes.get("rows", {}).items():
        rows[index] = {**rows[index], **change}
    rows += changes.get("more", [])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for i, row in enumerate(rows) if i not in changes.get("drop", ()))


def test_the_dataset_answers_at_once():
    oracle = DatasetOracle(ArraySource(10))
    assert oracle.answers(0, [3, 8]) == [(3, LABELLED, 1), (8, LABELLED, 0)]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_is_filled_in_by_hand(tmp_path, channels):
    oracle = FolderOracle(tmp_path / "queries", CLASSES)
    asked = queries(channels)
    oracle.ask(2, asked)
    folder = tmp_path / "queries" / "round_02"
    assert sorted(path.name for path in folder.iterdir()) == ["images", "labels.csv", "sheet.png"]
    stored = np.asarray(Image.open(folder / "images" / "3.png")).reshape(9, 7, channels)
    np.testing.assert_array_equal(stored, asked[1].image)
    assert oracle.answers(2, IDS) is None  # nobody has written anything yet
    assert "labels.csv" in oracle.how_to_go_on(2)
    fill(folder / "labels.csv", {17: "dog", 3: " unlabelable ", 250: "skip"})
    oracle.ask(2, asked)  # after an interruption: somebody's work stays
    expected = [(17, LABELLED, 1), (3, UNLABELABLE, None), (250, SKIPPED, None)]
    assert oracle.answers(2, IDS) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_spreadsheet_may_save_it_with_semicolons(tmp_path, encoding):
    oracle = FolderOracle(tmp_path, CLASSES)
    oracle.ask(2, queries())
    path = tmp_path / "round_02" / "labels.csv"
    fill(path, {17: "dog", 3: "cat", 250: "skip"})
    path.write_text(path.read_text().replace(",", ";"), encoding=encoding)
    assert oracle.answers(2, IDS) == [(17, LABELLED, 1), (3, LABELLED, 0), (250, SKIPPED, None)]


def test_a_table_that_is_no_text_is_refused(tmp_path):
    oracle = FolderOracle(tmp_path, CLASSES)
    oracle.ask(2, queries())
    path = tmp_path / "round_02" / "labels.csv"
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(UserError, match=r"labels.csv: nothing was taken over; it is not text in UTF-8: save it as CSV"):
        oracle.answers(2, IDS)


def test_a_table_that_was_thrown_away_is_written_anew(tmp_path):
    oracle = FolderOracle(tmp_path, CLASSES)
    oracle.ask(2, queries())
    path = tmp_path / "round_02" / "labels.csv"
    empty = path.read_bytes()
    path.unlink()
    oracle.ask(2, queries())
    assert path.read_bytes() == empty
    assert oracle.answers(2, IDS) is None


def test_every_mistake_is_listed_at_once(tmp_path):
    oracle = FolderOracle(tmp_path, CLASSES)
    oracle.ask(2, queries())
    path = tmp_path / "round_02" / "labels.csv"
    twice = {"round": "2", "id": "3", "image": "", "label": "cat", "note": ""}
    unknown = {**twice, "id": "4"}
    fill(path, {3: "cat", 17: "dgo"}, rows={0: {"label": "dgo"}}, drop=[2], more=[twice, unknown, {**twice, "id": "x"}])
    with pytest.raises(UserError) as error:
        oracle.answers(2, IDS)
    said = str(error.value)
    for part in (
        "line 2: id 17: 'dgo' is no class; allowed: cat, cow, dog, skip, unlabelable (did you mean 'dog'?)",
        "line 4: id 3 comes twice",
        "line 5: id 4 was not asked in round 2",
        "line 6: id 'x' is no number",
        "id 250 is missing",
        "nothing was taken over",
    ):
        assert part in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("labels", "changes", "message"),
    [
        ({17: "cat", 3: "cat"}, {}, r"line 4: id 250 has no label yet"),
        ({17: "cat", 3: "cat", 250: "cow"}, {"rows": {1: {"round": "1"}}}, r"id 3 is of round '1', this is round 2"),
    ],
)
def test_half_filled_or_of_another_round(tmp_path, labels, changes, message):
    oracle = FolderOracle(tmp_path, CLASSES)
    oracle.ask(2, queries())
    fill(tmp_path / "round_02" / "labels.csv", labels, **changes)
    with pytest.raises(UserError, match=message):
        oracle.answers(2, IDS)


def exported(tasks, choices):
    """What Label Studio exports when these were chosen; None was skipped, a list has several annotators."""
    for task, chosen in zip(tasks, choices, strict=True):
        task["annotations"] = [
            {"was_cancelled": one is None, "result": [] if one is None else [_choice(one)]}
            for one in (chosen if isinstance(chosen, list) else [chosen])
        ]
    return tasks


def _choice(name):
    return {"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": [name]}}


def test_label_studio_there_and_back(tmp_path):
    oracle = LabelStudioOracle(tmp_path / "queries", CLASSES)
    oracle.ask(0, queries())
    folder = tmp_path / "queries" / "round_00"
    tasks = json.loads((folder / "tasks.json").read_text())
    assert tasks[0]["data"]["image"] == "/data/local-files/?d=queries/round_00/images/17.png"
    assert '<Choice value="cow"/>' in (folder / "label_config.xml").read_text()
    assert oracle.answers(0, IDS) is None
    (folder / "annotations.json").write_text(json.dumps(exported(tasks, ["dog", None, ["cow", "cow"]])))
    assert oracle.answers(0, IDS) == [(17, LABELLED, 1), (3, SKIPPED, None), (250, LABELLED, 2)]
    (folder / "annotations.json").write_text(json.dumps(exported(tasks, ["dgo", [], ["cow", "cat"]])[:3]))
    with pytest.raises(UserError) as error:
        oracle.answers(0, IDS)
    for part in ("task 1: id 17: 'dgo' is no class", "task 2: id 3 has no", "task 3: id 250: its annotations differ"):
        assert part in str(error.value)
    (folder / "annotations.json").write_text("{}")
    with pytest.raises(UserError, match="is not Label Studio's JSON export"):
        oracle.answers(0, IDS)
