"""People's answers: taken over whole or not at all, with every mistake listed."""

import csv
import io
import json

import numpy as np
import pytest
from conftest import ArraySource
from PIL import Image

from effjax.data.labelled import labelled
from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE
from effjax.errors import UserError
from effjax.recipes.active.answers import parse_answer
from effjax.recipes.active.oracles import (
    CorrectingOracle,
    DatasetOracle,
    FolderOracle,
    LabelStudioOracle,
    Proposed,
    Query,
)
from effjax.specs import Spec
from effjax.tasks.answers import ClassAnswers
from effjax.tasks.box_answers import BoxAnswers

CLASSES = ("cat", "dog", "cow")
IDS = (17, 3, 250)
PATHS = ("day0/a.jpg", "=1+1.jpg", "a folder/of its own/whose name is long/café.jpg")


def queries(channels=3, paths=("", "", "")):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (9, 7, channels), dtype=np.uint8) for _ in IDS]
    return [
        Query(id_, 0.5, lambda image=image: image, path) for id_, image, path in zip(IDS, images, paths, strict=True)
    ]


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


def plain(answers):
    return [(answer.id, answer.event, answer.answer) for answer in answers]


@pytest.fixture
def asked(tmp_path):
    """An oracle that has asked in round 2, and the table to fill in."""
    oracle = FolderOracle(tmp_path, ClassAnswers(CLASSES))
    oracle.ask(2, queries())
    return oracle, tmp_path / "round_02" / "labels.csv"


def test_the_dataset_answers_at_once():
    oracle = DatasetOracle(ArraySource(10), ClassAnswers(("even", "odd")))
    assert plain(oracle.answers(0, [3, 8, 9], {3, 8})) == [(3, LABELLED, 1), (8, LABELLED, 0)]


def test_a_simulated_annotator_mends_what_is_proposed(tmp_path):
    """What is nearly right stays; what is not there is removed, what is left is drawn, and each has its price."""
    answers = BoxAnswers(("even", "odd"), look=2.0, draw=7.0, verify=1.5)
    source = ArraySource(6)
    boxes = np.zeros((6, 2, 4), np.float32)
    boxes[:, 0], boxes[:, 1] = (0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1)
    columns = {
        "objects/bbox": boxes,
        "objects/label": np.tile(np.int32([0, 1]), (6, 1)),
        "objects/valid": np.tile([True, True], (6, 1)),
    }
    source.column = columns.__getitem__
    oracle = CorrectingOracle(source, answers)
    true = [{"box": [0, 0, 0.5, 0.5], "class": "even"}, {"box": [0.5, 0.5, 1, 1], "class": "odd"}]
    nearly = {"box": [0, 0, 0.5, 0.45], "class": "even"}
    proposals = {2: [nearly, {"box": [0, 0, 0.1, 0.1], "class": "odd"}], 4: []}
    asked = [
        Query(id_, None, lambda: None, proposed=Proposed(found, [0.5] * len(found), "a network"))
        for id_, found in proposals.items()
    ]
    assert oracle.wants_proposals(0)
    oracle.ask(0, [*asked, Query(5, None, lambda: None)])  # at which no network has looked
    found = oracle.answers(0, [2, 4, 5], {2, 4, 5})
    assert {answer.id: (answer.event, answer.answer, answer.cost) for answer in found} == {
        2: (LABELLED, [nearly, true[1]], 2 + 1.5 * 2 + 7),
        4: (LABELLED, true, 2 + 7 * 2),
        5: (LABELLED, true, 2 + 7 * 2),
    }
    oracle.ask(1, [Query(2, None, lambda: None)])
    assert oracle.answers(1, [2], {2})[0].answer == true  # what was proposed before does not count


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_is_filled_in_by_hand(tmp_path, channels):
    oracle = FolderOracle(tmp_path / "queries", ClassAnswers(CLASSES))
    asked = queries(channels)
    oracle.ask(2, asked)
    folder = tmp_path / "queries" / "round_02"
    assert sorted(path.name for path in folder.iterdir()) == ["images", "labels.csv", "sheet.png"]
    stored = np.asarray(Image.open(folder / "images" / "3.png")).reshape(9, 7, channels)
    np.testing.assert_array_equal(stored, asked[1].picture())
    assert oracle.answers(2, IDS, IDS) == []  # nobody has written anything yet
    assert "labels.csv" in oracle.how_to_go_on(2)
    fill(folder / "labels.csv", {17: "dog", 3: " unlabelable ", 250: "skip"})
    oracle.ask(2, asked)  # after an interruption: somebody's work stays
    expected = [(17, LABELLED, 1), (3, UNLABELABLE, None), (250, SKIPPED, None)]
    assert plain(oracle.answers(2, IDS, IDS)) == expected


class Boxes:
    """Where the things in an image are: any number of boxes, written as JSON."""

    choices, hint, spec = (), "boxes, [[y0, x0, y1, x1], …]", Spec(np.float32, (2, 4), 0)

    def parse(self, text):
        boxes = json.loads(text)
        if problem := self.problem(boxes):
            raise ValueError(problem)
        return boxes

    def problem(self, boxes):
        fits = isinstance(boxes, list) and all(isinstance(box, list) and len(box) == 4 for box in boxes)
        return None if fits else f"{boxes!r} are no boxes"

    def read(self, boxes):
        return {"boxes": self.spec.padded(np.reshape(boxes, (-1, 4)))}


def test_answers_that_are_no_classes_are_written_freely(tmp_path):
    oracle = FolderOracle(tmp_path, Boxes())
    oracle.ask(2, queries())
    path = tmp_path / "round_02" / "labels.csv"
    assert "write boxes, [[y0, x0, y1, x1], …], or skip or unlabelable, into the column label" in oracle.how_to_go_on(2)
    fill(path, {17: "[[0, 0.25, 0.5, 1]]", 3: "Unlabelable", 250: "[]"})
    answers = oracle.answers(2, IDS, IDS)
    assert plain(answers) == [(17, LABELLED, [[0, 0.25, 0.5, 1]]), (3, UNLABELABLE, None), (250, LABELLED, [])]
    known = labelled(
        ArraySource(300), {a.id: Boxes().read(a.answer) for a in answers if a.event == LABELLED}, {"boxes": Boxes.spec}
    )
    np.testing.assert_array_equal(known.column("boxes"), [[[0, 0.25, 0.5, 1], [0] * 4], [[0] * 4] * 2])
    fill(path, {17: "dog", 3: "[[1, 2]]", 250: "[]"})
    with pytest.raises(UserError, match=r"nothing was taken over; .*id 17: .*; .*id 3: \[\[1, 2\]\] are no boxes"):
        oracle.answers(2, IDS, IDS)
    with pytest.raises(UserError, match="there people choose from classes"):
        LabelStudioOracle(tmp_path, Boxes())


def test_photos_have_their_paths_and_numbers(tmp_path):
    oracle = FolderOracle(tmp_path, ClassAnswers(CLASSES))
    oracle.ask(0, queries(paths=PATHS))
    folder = tmp_path / "round_00"
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["17.jpg", "250.jpg", "3.jpg"]
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["round", "id", "image", "path", "label", "note"]
    assert [row["path"] for row in rows] == [PATHS[0], "'=1+1.jpg", PATHS[2]]  # no spreadsheet computes it
    with_paths = np.asarray(Image.open(folder / "sheet.png"))
    oracle.ask(1, queries())
    without = np.asarray(Image.open(tmp_path / "round_01" / "sheet.png"))
    assert with_paths.shape[0] > without.shape[0]
    paper = without[0, 0]
    assert (without[-26:] != paper).any()  # there is a number below


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_spreadsheet_saves_it_in_its_own_way(asked, encoding, delimiter):
    oracle, path = asked
    fill(path, {17: "dog", 3: "cat", 250: "skip"})
    text = path.read_text().replace(",", delimiter).replace("round", "Round").replace("label", "LABEL")
    text = text.replace("id", '"ID"', 1).replace(delimiter + "250" + delimiter, delimiter + "250.0" + delimiter)
    bare = delimiter * 4 + "\n"
    text = text.replace("\n2", f"\n{bare}2") + bare + "\n"
    for ends in ("\n", "\r\n", "\r"):
        path.write_bytes(text.replace("\r", "").replace("\n", ends).encode(encoding))
        assert plain(oracle.answers(2, IDS, IDS)) == [(17, LABELLED, 1), (3, LABELLED, 0), (250, SKIPPED, None)]


@pytest.mark.parametrize(
    ("classes", "written", "label"),
    [
        (("cat", "dog"), "DOG", 1),
        (("caf\u00e9", "bar"), "cafe\u0301", 0),
        (("cafe\u0301", "bar"), "Caf\u00e9", 0),
        (("01", "02", "10"), "1", 0),
        (("01", "02", "10"), "10.0", 2),
        (("0", "1"), "01", 1),
        (("1", "01"), "01", 1),
        (("skip", "cat"), "skip", 0),  # a class of that name
        (("Straße", "Weg"), "STRASSE", 0),
    ],
)
def test_labels_as_people_write_them(classes, written, label):
    assert parse_answer(written, ClassAnswers(tuple(classes))) == (LABELLED, label)


def test_a_class_may_be_called_as_a_word_for_no_label_or_have_spaces_around_it(tmp_path):
    classes = ClassAnswers(("skip", " cat "))
    assert parse_answer("skip", classes) == (LABELLED, 0)
    assert parse_answer("cat", classes) == parse_answer(" cat ", classes) == (LABELLED, 1)
    oracle = LabelStudioOracle(tmp_path / "queries", classes)
    oracle.ask(0, queries(paths=PATHS))
    config = (oracle.round_folder(0) / "label_config.xml").read_text()
    assert [config.count(f'"{name}"') for name in ("skip", " cat ", "unlabelable")] == [1, 1, 1]
    assert "write a class (skip,  cat ), or unlabelable, into" in FolderOracle(tmp_path, classes).how_to_go_on(0)


def test_labels_that_may_mean_several_are_refused():
    for classes, written in ((("Cat", "CAT"), "cat"), (("1", "01"), "001")):
        with pytest.raises(
            ValueError, match=f"'{written}' may be any of {', '.join(classes)}: write it as it is there"
        ):
            parse_answer(written, ClassAnswers(tuple(classes)))
    assert parse_answer("SKIP", ClassAnswers(("cat",))) == (SKIPPED, None)
    assert parse_answer("skip", ClassAnswers(("Skip",))) == (SKIPPED, None)


def test_a_table_that_is_no_text_is_refused(asked):
    oracle, path = asked
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(UserError, match=r"labels.csv: nothing was taken over; it is not text in UTF-8: save it as CSV"):
        oracle.answers(2, IDS, IDS)
    path.write_text("round,label\n2,cat\n")
    with pytest.raises(UserError, match=r"labels.csv: nothing was taken over; the column 'id' is missing"):
        oracle.answers(2, IDS, IDS)


def test_a_table_that_was_thrown_away_or_emptied_has_no_answers(asked):
    oracle, path = asked
    empty = path.read_bytes()
    for emptied in (b"", b"\n,,\n"):
        path.write_bytes(emptied)
        assert oracle.answers(2, IDS, IDS) == []
    path.unlink()
    assert oracle.answers(2, IDS, IDS) == []
    oracle.ask(2, queries())
    assert path.read_bytes() == empty
    assert oracle.answers(2, IDS, IDS) == []


def test_every_mistake_is_listed_at_once(asked):
    oracle, path = asked
    twice = {"round": "2", "id": "3", "image": "", "label": "cat", "note": ""}
    unknown = {**twice, "id": "4"}
    fill(path, {3: "cat", 17: "dgo"}, rows={0: {"label": "dgo"}}, drop=[2], more=[twice, unknown, {**twice, "id": "x"}])
    with pytest.raises(UserError) as error:
        oracle.answers(2, IDS, IDS)
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


def test_what_is_blank_stays_open_and_rows_of_other_rounds_are_refused(asked):
    oracle, path = asked
    fill(path, {17: "cat", 3: " "})
    assert plain(oracle.answers(2, IDS, IDS)) == [(17, LABELLED, 0)]
    fill(path, {17: "cat", 3: "cat", 250: "cow"}, rows={1: {"round": "1"}})
    with pytest.raises(UserError, match=r"id 3 is of round '1', this is round 2"):
        oracle.answers(2, IDS, IDS)


def test_a_row_may_be_missing_once_it_has_been_answered(asked):
    oracle, path = asked
    fill(path, {17: "cat", 3: "cow"}, drop=[2])
    assert plain(oracle.answers(2, IDS, {17, 3})) == [(17, LABELLED, 0), (3, LABELLED, 2)]


def test_numbers_that_nobody_counts_to_are_no_numbers(asked):
    oracle, path = asked
    fill(path, {17: "cat", 3: "cow", 250: "dog"}, rows={0: {"id": "9" * 5000}, 1: {"round": "1" * 5000}})
    with pytest.raises(UserError, match=r"line 2: id '9{70,}… is no number; line 3: id 3 is of round '1{70,}…, this"):
        oracle.answers(2, IDS, IDS)


def test_a_column_that_is_there_twice_is_refused(asked):
    oracle, path = asked
    path.write_text("round,id,label,Label\n2,17,cat,\n2,3,,cow\n2,250,,\n")
    with pytest.raises(UserError, match=r"the column 'label' is there twice"):
        oracle.answers(2, IDS, IDS)


def test_lines_are_counted_as_an_editor_does(asked):
    oracle, path = asked
    long = "x" * 200_000  # a cell longer than Python's csv reads by itself
    notes = {0: {"note": "a note\nof three\nlines"}, 1: {"note": long, "label": "dgo"}, 2: {"label": "cwo"}}
    fill(path, {17: "cat"}, rows=notes)
    text = path.read_text().replace("dgo", "dgo", 1)
    path.write_text(text.replace("2,250", "\n,,,,\n2,250"))
    with pytest.raises(UserError, match=r"; line 5: id 3: 'dgo' is no .*; line 8: id 250: 'cwo' is no "):
        oracle.answers(2, IDS, IDS)


def exported(tasks, choices, updated="2026-01-01T00:00:00Z"):
    """What Label Studio exports when these were chosen; None was skipped, a list has several annotators."""
    return [
        {
            **task,
            "annotations": [
                {
                    "completed_by": number,
                    "lead_time": 2.5 * number,
                    "updated_at": updated,
                    "was_cancelled": one is None,
                    "result": [] if one is None else [_choice(one)],
                }
                for number, one in enumerate(chosen if isinstance(chosen, list) else [chosen], start=1)
            ],
        }
        for task, chosen in zip(tasks, choices, strict=True)
    ]


def minimal(tasks):
    """The same as JSON-MIN: one entry an annotation, what was skipped is left out."""
    return [
        {
            **task["data"],
            **({"label": one["result"][0]["value"]["choices"][0]} if one["result"] else {}),
            "annotator": one["completed_by"],
            "lead_time": one["lead_time"],
            "updated_at": one["updated_at"],
        }
        for task in tasks
        for one in task["annotations"]
        if not one["was_cancelled"]
    ]


def _choice(name):
    return {"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": [name]}}


@pytest.fixture
def studio(tmp_path):
    """Label Studio's oracle, which has asked in round 0; its tasks; and how to put an export into a round's folder."""
    oracle = LabelStudioOracle(tmp_path / "mine" / "seed_0" / "queries", ClassAnswers(CLASSES))
    oracle.ask(0, queries(paths=PATHS))
    tasks = json.loads((oracle.round_folder(0) / "tasks.json").read_text())

    def put(export, round_=0, name="annotations.json"):
        (oracle.round_folder(round_) / name).write_text(export if isinstance(export, str) else json.dumps(export))

    return oracle, tasks, put


def test_label_studio_there_and_back(studio):
    oracle, tasks, put = studio
    assert tasks[0]["data"] == {
        "image": "/data/local-files/?d=queries/round_00/images/17.jpg",
        "path": "day0/a.jpg",
        "effjax_id": 17,
        "effjax_round": 0,
        "effjax_loop": "mine/seed_0",
    }
    config = (oracle.round_folder(0) / "label_config.xml").read_text()
    assert '<Choice value="cow"/>' in config
    assert '<Header value="$path"/>' in config
    assert oracle.answers(0, IDS, IDS) == []
    put(exported(tasks, ["dog", None, ["cow", "cow"]]))
    assert [answer[:5] for answer in oracle.answers(0, IDS, IDS)] == [
        (17, LABELLED, 1, "annotator 1", 2.5),
        (3, SKIPPED, None, "annotator 1", 2.5),
        (250, LABELLED, 2, "annotator 1", 2.5),
    ]
    oracle.ask(0, queries()[:1])  # some have been answered: what was handed over stays
    assert json.loads((oracle.round_folder(0) / "tasks.json").read_text()) == tasks
    for damaged in ("{}", "[3]", "", "[" * 10_000):
        put(damaged)
        with pytest.raises(UserError, match="is not Label Studio's JSON export"):
            oracle.answers(0, IDS, IDS)


def test_what_annotators_say_is_put_together(studio):
    oracle, tasks, put = studio
    put(exported(tasks, ["dgo", [], ["cow", None, "cat"]]))
    with pytest.raises(UserError) as error:
        oracle.answers(0, IDS, IDS)
    for part in (
        "task 1: id 17: 'dgo' is no class",
        "task 3: id 250: annotator 1 says 'cow', annotator 3 says 'cat': let them agree, and export again",
    ):
        assert part in str(error.value)
    put(exported(tasks, [[None, "dog"], [], [None, None]]))  # whoever skips has no opinion
    assert plain(oracle.answers(0, IDS, IDS)) == [(17, LABELLED, 1), (250, SKIPPED, None)]
    whole = exported(tasks, ["dog", "cat", "cat"])
    whole[0]["annotations"][0]["completed_by"] = {"id": 4, "email": "ann@example.com"}
    put(whole)
    assert oracle.answers(0, IDS, IDS)[0].who == "ann@example.com"


@pytest.mark.parametrize("kind", ["annotations.json", "annotations.csv", "annotations.tsv"])
def test_short_exports_are_read_too(studio, kind):
    oracle, tasks, put = studio
    rows = minimal(exported(tasks, ["dog", None, ["cow", "cow"]]))
    text = json.dumps(rows)
    if kind != "annotations.json":
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, rows[0], dialect="excel" if kind.endswith("csv") else "excel-tab")
        writer.writeheader()
        writer.writerows(rows)
        text = table.getvalue()
    put(text, name=kind)
    assert plain(oracle.answers(0, IDS, IDS)) == [(17, LABELLED, 1), (250, LABELLED, 2)]  # one is still open
    assert oracle.answers(0, IDS, IDS)[0][3:5] == ("annotator 1", 2.5)


def test_one_project_for_all_rounds(studio):
    oracle, tasks, put = studio
    put(exported(tasks, ["dog", "cat", "cow"]))
    more = [Query(55, None, queries()[0].picture)]
    oracle.ask(1, more)
    later = json.loads((oracle.round_folder(1) / "tasks.json").read_text())
    both = exported(tasks, ["dog", "cow", "cow"], "2026-01-02T00:00:00Z") + exported(later, ["cat"])
    put(both, round_=1)
    assert plain(oracle.answers(1, [55], [55])) == [(55, LABELLED, 0)]
    assert plain(oracle.answers(0, IDS, ())) == [(17, LABELLED, 1), (3, LABELLED, 2), (250, LABELLED, 2)]  # the newest
    put(exported(tasks, ["dog", "cat", "cow"], "2026-01-03T00:00:00Z"))
    assert plain(oracle.answers(0, IDS, ()))[1] == (3, LABELLED, 0)
    put(minimal(exported(tasks, ["dog", "dog", "cow"], "2026-01-04T00:00:00Z")))  # a short one says when, too
    assert plain(oracle.answers(0, IDS, ()))[1] == (3, LABELLED, 1)
    for key, value, message in (
        ("effjax_loop", "other/seed_0", "task 1: id 17 is of the loop other/seed_0, this is mine/seed_0"),
        ("effjax_id", 18, "task 1: id 18 was not asked in round 0"),
        ("effjax_id", None, "task 1 is none of the loop's tasks: it has no effjax_id or effjax_round"),
    ):
        wrong = exported(tasks, ["dog", "cat", "cow"])
        wrong[0] = {**wrong[0], "data": {**wrong[0]["data"], key: value}}
        put(wrong)
        with pytest.raises(UserError, match=message):
            oracle.answers(0, IDS, ())


def test_what_was_chosen_before_it_was_skipped_does_not_count(studio):
    oracle, tasks, put = studio
    export = exported(tasks, ["cat", None, None])
    export[1]["annotations"][0]["result"] = [_choice("dog")]  # chosen, then skipped
    put(export)
    assert plain(oracle.answers(0, IDS, IDS)) == [(17, LABELLED, 0), (3, SKIPPED, None), (250, SKIPPED, None)]


@pytest.mark.parametrize(
    "change",
    [
        {"result": [{"value": {"choices": 5}}]},
        {"result": 5},
        {"lead_time": 10**400},
        {"lead_time": -1.0, "updated_at": 3},
        {"completed_by": [1]},
    ],
)
def test_an_export_of_other_types_is_read_or_refused(studio, change):
    oracle, tasks, put = studio
    export = exported(tasks, ["cat", "dog", "cow"])
    export[1]["annotations"][0].update(change)
    export[2]["annotations"] = 3
    put(export)
    if isinstance(change.get("result"), list):
        with pytest.raises(UserError, match="id 3: '5' is no class"):
            oracle.answers(0, IDS, IDS)
    else:
        answers = oracle.answers(0, IDS, IDS)
        assert plain(answers)[0] == (17, LABELLED, 0)
        assert all(answer.seconds is None for answer in answers if answer.id == 3 and "lead_time" in change)
    export[0]["data"]["effjax_id"] = "9" * 5000
    put(export)
    with pytest.raises(UserError, match="task 1 is none of the loop's tasks"):
        oracle.answers(0, IDS, IDS)
