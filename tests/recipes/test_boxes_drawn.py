"""Boxes that people draw in files of COCO's form: what counts as an answer, and what is refused, all at once."""

import csv
import json
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE, Ledger
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError
from effjax.recipes.active.oracles import CocoOracle, Proposed, Query
from effjax.recipes.active.proposals import proposals
from effjax.tasks.box_answers import BoxAnswers

CLASSES = ("cat", "dog")
IDS = (17, 3, 250)
CAT = {"box": [0.25, 0.1, 0.5, 0.6], "class": "cat"}
DOG = {"box": [0.0, 0.5, 1.0, 1.0], "class": "dog"}
#: Of pictures of 200×100 pixels.
CAT_BOX, DOG_BOX = [20.0, 25.0, 100.0, 25.0], [100.0, 0.0, 100.0, 100.0]


def queries(proposed=None):
    proposed = {17: Proposed([CAT, DOG], [0.9, 0.4], "mine, round 1"), **(proposed or {})}
    pixels = np.zeros((100, 200, 3), np.uint8)
    return [Query(id_, 0.5, lambda: pixels, "a.jpg", proposed=proposed.get(id_)) for id_ in IDS]


class Person:
    """Somebody with a round's folder."""

    def __init__(self, folder):
        self.folder, self.path = folder, folder / "annotations.json"

    @property
    def page(self):
        return json.loads(self.path.read_text())

    def draws(self, *boxes, page=None, **more):
        """Puts ``(id, bbox, class)`` in the place of all boxes."""
        page = page or self.page
        names = {one["name"]: one["id"] for one in page["categories"]}
        page["annotations"] = [
            {"id": number, "image_id": id_, "category_id": names[name], "bbox": list(bbox), **more}
            for number, (id_, bbox, name) in enumerate(boxes, start=1)
        ]
        self.path.write_text(json.dumps(page))

    def changes(self, change):
        page = self.page
        change(page)
        self.path.write_text(json.dumps(page))

    def writes(self, **words):
        path = self.folder / "labels.csv"
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows({**row, "label": words.get(f"_{row['id']}", "")} for row in rows)


@pytest.fixture
def asked(tmp_path):
    oracle = CocoOracle(tmp_path, BoxAnswers(CLASSES))
    assert oracle.wants_proposals(2)
    oracle.ask(2, queries())
    assert not oracle.wants_proposals(2)
    return oracle, Person(tmp_path / "round_02")


def said(oracle, waiting=IDS):
    return {answer.id: (answer.event, answer.answer) for answer in oracle.answers(2, IDS, waiting)}


def wrong(oracle, waiting=IDS):
    with pytest.raises(UserError) as error:
        oracle.answers(2, IDS, waiting)
    return str(error.value).splitlines()


def test_a_round_has_a_file_of_what_the_last_network_proposes(asked):
    oracle, person = asked
    names = ["annotations.json", "images", "labels.csv", "proposals.json", "sheet.png"]
    assert sorted(path.name for path in person.folder.iterdir()) == names
    assert person.page == {
        "info": {"description": "boxes proposed by mine, round 1"},
        "images": [{"id": id_, "file_name": f"{id_}.jpg", "width": 200, "height": 100} for id_ in IDS],
        "annotations": [
            {"id": 1, "image_id": 17, "category_id": 1, "bbox": CAT_BOX, "area": 2500, "score": 0.9}
            | {"iscrowd": 0, "segmentation": []},
            {"id": 2, "image_id": 17, "category_id": 2, "bbox": DOG_BOX, "area": 10000, "score": 0.4}
            | {"iscrowd": 0, "segmentation": []},
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    for word in ("annotations.json", "(cat, dog)", "write done into the column label of", "skip or unlabelable"):
        assert word in oracle.how_to_go_on(2)


def test_what_nobody_has_touched_is_no_answer(asked):
    oracle, person = asked
    assert said(oracle) == {}
    (person.folder / "images" / "17.txt").write_text("1 0.35 0.375 0.5 0.25")  # of a tool
    reversed_ = person.page
    reversed_["annotations"].reverse()
    for one in reversed_["annotations"]:  # as a tool rounds and numbers anew
        one.update(id=100 - one["id"], bbox=[round(side + 0.3) for side in one["bbox"]])
    person.path.write_text(json.dumps(reversed_))
    assert said(oracle) == {}


def test_what_was_changed_is_answered_and_the_rest_by_a_word(asked):
    oracle, person = asked
    person.draws((17, CAT_BOX, "cat"))
    assert said(oracle) == {17: (LABELLED, [CAT])}
    person.writes(_3="Done", _250="skip")
    assert said(oracle) == {17: (LABELLED, [CAT]), 3: (LABELLED, []), 250: (SKIPPED, None)}
    person.writes(_3="[]", _250="unlabelable", _17="skip")  # a word counts, whatever has been drawn before it
    assert said(oracle) == {17: (SKIPPED, None), 3: (LABELLED, []), 250: (UNLABELABLE, None)}
    person.draws()
    person.writes()
    assert said(oracle) == {}  # the proposed boxes are gone: taken away, or never given to the tool
    person.writes(_17="done")
    assert said(oracle) == {17: (LABELLED, [])}
    person.path.write_text((person.folder / "proposals.json").read_text())
    person.writes(_17="done")
    assert said(oracle) == {17: (LABELLED, [CAT, DOG])}
    person.draws((17, DOG_BOX, "cat"), (17, CAT_BOX, "dog"))
    person.writes()
    assert [one["class"] for one in said(oracle)[17][1]] == ["cat", "dog"]  # the classes have been changed


def test_a_tool_numbers_everything_anew(asked):
    """As CVAT exports COCO 1.0: ids from 1, its own order, folders before the names, no scores, attributes."""
    oracle, person = asked
    page = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [{"id": 1, "name": "dog", "supercategory": ""}, {"id": 2, "name": "cat", "supercategory": ""}],
        "images": [
            {"id": number, "width": 200, "height": 100, "file_name": f"{folder}{id_}.jpg", "license": 0, "coco_url": ""}
            for number, (folder, id_) in enumerate(zip(("images/", "", "C:\\a\\"), sorted(IDS), strict=True), start=1)
        ],
    }
    attributes = {"occluded": False, "rotation": 0.0}
    person.draws(
        (2, [20.01, 25.004, 99.99, 25], "cat"), (3, [150, 50, 50.6, 50], "dog"),
        page=page, segmentation=[], area=1.0, iscrowd=0, attributes=attributes,
    )  # fmt: skip
    found = said(oracle)
    assert found.keys() == {17, 250}  # of 3, nothing was proposed and nothing is there
    np.testing.assert_allclose(found[17][1][0]["box"], CAT["box"], atol=1e-3)
    assert found[250] == (LABELLED, [{"box": [0.5, 0.75, 1.0, 1.0], "class": "dog"}])  # cut off at the edge


def test_all_mistakes_are_said_at_once(asked):
    oracle, person = asked
    page = person.page
    page["images"] += [
        {"id": 9, "file_name": "9.jpg", "width": 200, "height": 100},
        {"id": 10, "file_name": "cat.jpg", "width": 200, "height": 100},
        {"id": 11, "file_name": "3.png", "width": 200, "height": 100},
        {"id": 3, "file_name": "250.jpg", "width": 200, "height": 100},
    ]
    page["images"][2]["width"] = 20
    page["categories"].append({"id": 3, "name": "dgo"})
    bad = [
        {"bbox": [150, 50, 60, 20]},
        {"bbox": [10, 10, 0, 20]},
        {"bbox": [300, 300, 10, 10], "category_id": 3},
        {"bbox": [1, 1, 5, 5], "category_id": 7},
        {"bbox": [1, 1, 5, 5], "attributes": {"rotation": 30.5}},
        {"bbox": [], "segmentation": [[1, 1, 5, 5, 1, 5]]},
        {"bbox": [1, 2, 3]},
        {"bbox": [1, 1, 5, 1e300]},
        {"bbox": [1, 1, 5, 5], "iscrowd": 1},
        {"bbox": [1, 1, 5, 5], "image_id": 77},
        {"bbox": [1, 1, 5, 5], "image_id": 9},  # which is said of the image
    ]
    page["annotations"] = [{"id": n, "image_id": 17, "category_id": 1, **one} for n, one in enumerate(bad, start=1)]
    page["annotations"] += [{"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 1, 5, 5]}, {"id": "a"}, 5]
    person.path.write_text(json.dumps(page))
    person.writes(_3="dgo")
    lines = wrong(oracle)
    assert lines[0].startswith(
        f"{person.folder / 'labels.csv'}: nothing was taken over; line 3: id 3: 'dgo' is no JSON"
    )
    assert all(line.startswith(f"{person.path}: ") and line.endswith(": nothing was taken over") for line in lines[1:])
    assert [line.removeprefix(f"{person.path}: ").removesuffix(": nothing was taken over") for line in lines[1:]] == [
        "image 250.jpg: it says 20×100 pixels, the picture has 200×100",
        "image 9.jpg: it was not asked for in round 2",
        "image 10: its file_name 'cat.jpg' is none of the pictures",
        "image 3.png: it is there twice, as 3 and as 11",
        "image 3: this id is there twice",
        "image 17.jpg, annotation 1: its box from (150, 50) to (210, 70) reaches out of the picture of 200×100 pixels",
        "image 17.jpg, annotation 2: its box from (10, 10) to (10, 30) has no area",
        "image 17.jpg, annotation 3: its box from (300, 300) to (310, 310) reaches out of the picture of 200×100 "
        "pixels, and 'dgo' is no class; allowed: cat, dog (did you mean 'dog'?)",
        "image 17.jpg, annotation 4: there is no category 7 in the file",
        "image 17.jpg, annotation 5: its box is rotated by 30.5°: draw it upright",
        "image 17.jpg, annotation 6: it has an outline and no box: draw a box around it",
        "image 17.jpg, annotation 7: its bbox (1, 2, 3) is not [x, y, width, height]",
        "image 17.jpg, annotation 8: its bbox (1, 1, 5, 1e+300) is not [x, y, width, height]",
        "image 17.jpg, annotation 9: it is a crowd (iscrowd): draw a box around each thing",
        "image 77, annotation 10: there is no such image in the file",
        "image 3, annotation 1: this id is there twice",
        "image None, annotation 13 of the file: it has no id that is a whole number",
        "annotation 14 of the file: it has no id that is a whole number",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "annotations.json is damaged"),
        ("[]", "not in COCO's form: it has no list 'images'"),
        ('{"images": [], "annotations": 3}', "not in COCO's form: it has no list 'annotations'"),
        ("[" * 10_000, "annotations.json is damaged"),
    ],
)
def test_a_file_of_another_form(asked, text, message):
    oracle, person = asked
    person.path.write_text(text)
    (line,) = wrong(oracle)
    assert message in line
    assert "throw it away, and it is written anew" in line
    person.path.unlink()
    oracle.ask(2, queries()[:1])  # some have been answered: the file is of all of them again
    assert person.page["images"] == json.loads((person.folder / "proposals.json").read_text())["images"]
    assert len(person.page["images"]) == 3


def test_an_image_that_is_missing_is_said_while_it_waits(asked):
    oracle, person = asked
    person.changes(lambda page: page["images"].pop(1))
    assert wrong(oracle) == [
        f"{person.path}: image 3 is missing: keep images in the file that show nothing: nothing was taken over"
    ]
    assert said(oracle, waiting={17, 250}) == {}
    person.writes(_3="done")  # some tools leave out what shows nothing
    assert said(oracle) == {3: (LABELLED, [])}
    assert said(oracle, waiting=()) == {}  # which corrects nothing


def test_the_table_and_the_file_must_not_say_different_boxes(asked):
    oracle, person = asked
    person.draws((3, CAT_BOX, "cat"), (17, CAT_BOX, "cat"), (17, DOG_BOX, "dog"))
    person.writes(_3=json.dumps([DOG]), _17=json.dumps([DOG]))  # of 17 the file says nothing new
    assert wrong(oracle) == [
        f"{person.path}: image 3: labels.csv says other boxes: take them out of one of the two: nothing was taken over"
    ]
    person.writes(_3=json.dumps([CAT]), _17=json.dumps([DOG]))
    assert said(oracle) == {3: (LABELLED, [CAT]), 17: (LABELLED, [DOG])}


def test_files_that_have_done_their_work_may_go(asked):
    oracle, person = asked
    person.draws((17, CAT_BOX, "cat"))
    person.writes(_3="done")
    for name in ("proposals.json", "annotations.json"):
        (person.folder / name).unlink()
        assert said(oracle, waiting=()).keys() <= {17, 3}
    assert said(oracle, waiting=()) == {}
    (person.folder / "labels.csv").unlink()
    for picture in (person.folder / "images").iterdir():
        picture.unlink()
    assert said(oracle, waiting=()) == {}


def test_an_answer_is_noted_whole_or_not_at_all(asked, tmp_path):
    oracle, person = asked
    person.draws((17, CAT_BOX, "cat"), (3, DOG_BOX, "dog"))
    person.writes(_250="done")
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    ledger.ask(2, IDS, [None] * 3, "")
    before = (tmp_path / "ledger.jsonl").read_bytes()
    ledger.answer(oracle.answers(2, IDS, IDS), "ann", "")
    after = (tmp_path / "ledger.jsonl").read_bytes()
    for cut in range(len(before), len(after) + 1, 7):  # as a kill leaves it
        (tmp_path / "cut.jsonl").write_bytes(after[:cut])
        assert len(Ledger(tmp_path / "cut.jsonl", {}).labels()) in ({0, 3} if cut == len(after) else {0})
    assert ledger.labels() == {17: [CAT], 3: [DOG], 250: []}


def test_a_kill_at_any_file_operation_leaves_nothing_half(tmp_path):
    script = pathlib.Path(__file__).with_name("box_kills.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    asks, takes = map(int, done.stdout.split())
    assert asks > 10  # pictures, sheet, table, two files of COCO's form
    assert takes > 5


def test_boxes_are_proposed_where_the_picture_shows_them(tmp_path):
    """A network saw the centre square of a photo of 40×20; of an ensemble, the first one's boxes are proposed."""
    found = {
        "boxes": np.array([[[0, 0, 0.5, 0.5], [0, 0.01, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]]),
        "scores": np.array([[0.9, 0.8, 0.7, 0.2, 0.9]]),
        "classes": np.array([[0, 1, 1, 0, 0]]),
        "present": np.array([[True, True, True, True, True]]),
    }
    seen = []

    def predict(network, source):
        seen.append((network, source.ids().tolist()))
        return found

    for number in range(6):
        Image.fromarray(np.zeros((20, 40, 3), np.uint8)).save(tmp_path / f"{number}.png")
    pool = UnlabelledFolder(tmp_path, image_size=8, channels=3, class_names=CLASSES)
    trainer = types.SimpleNamespace(
        networks_of=lambda variables: [variables, "another"], assembled=types.SimpleNamespace(predict=predict)
    )
    results = {0: {"floor": 0.5}, 1: {"floor": 0.0}}
    rounds = types.SimpleNamespace(
        name="mine", trainer=trainer, labels_of=lambda r: {1: []} if r < 2 else {}, result=results.get,
        variables=lambda round_: f"of round {round_}",
    )  # fmt: skip
    got = proposals(rounds, 1, pool, [5], BoxAnswers(CLASSES))
    assert seen == [("of round 0", [5])]
    answer, scores, model = got[5]
    assert answer == [{"box": [0, 0.25, 0.5, 0.5], "class": "cat"}, {"box": [0.5, 0.5, 1, 0.75], "class": "dog"}]
    assert (scores, model) == ([0.9, 0.7], "mine, round 0")
    for round_ in (0, 2, 3):  # nobody has looked; it has found nothing rightly; nothing had been labelled
        assert proposals(rounds, round_, pool, [5], BoxAnswers(CLASSES)) == {}
    assert len(seen) == 1
