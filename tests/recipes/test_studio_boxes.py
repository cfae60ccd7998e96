"""Boxes out to Label Studio and back: rectangles in percent, what a network proposes, how long it took."""

import csv
import io
import json
import re

import numpy as np
import pytest

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE
from effjax.errors import UserError
from effjax.recipes.active.oracles import LabelStudioBoxOracle, Proposed, Query
from effjax.tasks.box_answers import BoxAnswers

CLASSES = ("cat", "dog & co")
IDS = (17, 3)
CAT = {"box": [0.25, 0.1, 0.5, 0.6], "class": "cat"}
DOG = {"box": [0.0, 0.5, 1.0, 1.0], "class": "dog & co"}


@pytest.fixture
def studio(tmp_path):
    """An oracle that has asked in round 1, its tasks, and how to put an export there."""
    oracle = LabelStudioBoxOracle(tmp_path / "mine" / "seed_0" / "queries", BoxAnswers(CLASSES))
    pixels = np.zeros((100, 200, 3), np.uint8)
    proposed = Proposed([CAT, DOG], [0.9, 0.4], "mine, round 0")
    assert oracle.wants_proposals(1)
    oracle.ask(1, [Query(id_, 0.5, lambda: pixels, "a.jpg", proposed=proposed if id_ == 17 else None) for id_ in IDS])
    assert not oracle.wants_proposals(1)
    folder = oracle.round_folder(1)
    tasks = json.loads((folder / "tasks.json").read_text())

    def put(export, name="annotations.json"):
        (folder / name).write_text(export if isinstance(export, str) else json.dumps(export))

    return oracle, tasks, put


def drawn(one, **more):
    """A rectangle as Label Studio exports it."""
    y0, x0, y1, x1 = (100 * side for side in one["box"])
    value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": [one["class"]]}
    part = {"id": "aB3", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "origin": "manual"}
    part |= {"original_width": 200, "original_height": 100, "image_rotation": 0}
    value |= {key: given for key, given in more.items() if key not in part}
    return {**part, **{key: given for key, given in more.items() if key in part}, "value": value}


def word(name):
    return {"type": "choices", "from_name": "word", "to_name": "image", "value": {"choices": [name]}}


def exported(tasks, *results):
    """An export; a result is a list of parts, None skips, a tuple has several annotators."""
    return [
        {
            **task,
            "annotations": [
                {
                    "completed_by": number,
                    "lead_time": 12.5 * number,
                    "updated_at": "2026-01-01T00:00:00Z",
                    "was_cancelled": one is None,
                    "result": one or [],
                }
                for number, one in enumerate(result if isinstance(result, tuple) else (result,), start=1)
            ],
        }
        for task, result in zip(tasks, results, strict=True)
    ]


def said(oracle):
    return {answer.id: (answer.event, answer.answer) for answer in oracle.answers(1, IDS, IDS)}


def test_a_round_has_rectangles_to_draw_and_those_that_are_proposed(studio):
    oracle, tasks, _ = studio
    config = (oracle.round_folder(1) / "label_config.xml").read_text()
    assert '<RectangleLabels name="label" toName="image" canRotate="false">' in config
    assert '<Label value="cat"/>' in config
    assert '<Label value="dog &amp; co"/>' in config
    assert re.search(r'<Choices name="word" toName="image">\s*<Choice value="skip"/>\s*<Choice value="unl', config)
    (prediction,) = tasks[0]["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("mine, round 0", 0.9)
    assert [one["score"] for one in prediction["result"]] == [0.9, 0.4]
    first = prediction["result"][0]
    expected = {"x": 10.0, "y": 25.0, "width": 50.0, "height": 25.0, "rotation": 0, "rectanglelabels": ["cat"]}
    assert first["value"] == expected
    assert (first["type"], first["from_name"], first["to_name"]) == ("rectanglelabels", "label", "image")
    assert (first["original_width"], first["original_height"], first["image_rotation"]) == (200, 100, 0)
    assert "predictions" not in tasks[1]
    assert oracle.answers(1, IDS, IDS) == []


def test_what_is_submitted_is_answered_in_the_seconds_that_it_took(studio):
    oracle, tasks, put = studio
    put(exported(tasks, [drawn(CAT), drawn(DOG)], []))
    first, second = oracle.answers(1, IDS, IDS)
    assert first[:5] == (17, LABELLED, [CAT, DOG], "annotator 1", 12.5)
    assert (first.cost, second.cost) == (12.5, 12.5)
    assert second.answer == []  # submitted without a box
    export = exported(tasks, [drawn(CAT)], None)
    del export[0]["annotations"][0]["lead_time"]
    put(export)
    first, second = oracle.answers(1, IDS, IDS)
    assert (first.seconds, first.cost) == (None, None)  # the loop's prices say what it costs
    assert (second.event, second.cost) == (SKIPPED, None)
    put([{**tasks[0], "annotations": []}, {**tasks[1]}])  # what nobody has submitted stays open, proposals or not
    assert said(oracle) == {}
    put(exported(tasks, [drawn(CAT), word("unlabelable")], [word("skip")]))
    assert said(oracle) == {17: (UNLABELABLE, None), 3: (SKIPPED, None)}


def test_rectangles_are_as_they_were_proposed(studio):
    oracle, tasks, put = studio
    put(exported(tasks, tasks[0]["predictions"][0]["result"], []))
    assert said(oracle)[17] == (LABELLED, [CAT, DOG])


def test_all_that_is_wrong_is_said_at_once(studio):
    oracle, tasks, put = studio
    polygon = {**drawn(CAT), "type": "polygonlabels", "value": {"points": [[1, 2]], "polygonlabels": ["cat"]}}
    wrong = [
        drawn(CAT, rotation=12.5),
        drawn(CAT, image_rotation=90),
        drawn({**CAT, "class": "cta"}),
        drawn(CAT, rectanglelabels=[]),
        drawn(CAT, original_width=400),
        drawn(CAT, width=0),
        drawn(CAT, x=95),
        polygon,
        drawn(CAT),
    ]
    put(exported(tasks, wrong, [drawn(CAT, x="1")]))
    with pytest.raises(UserError) as error:
        oracle.answers(1, IDS, IDS)
    text = str(error.value)
    assert text.startswith(f"{oracle.round_folder(1) / 'annotations.json'}: nothing was taken over; task 1: id 17: ")
    for part in (
        "region 1: its rotation is 12.5°: draw it upright",
        "region 2: its image_rotation is 90°: draw it upright",
        "region 3: 'cta' is no class; allowed: cat, dog & co (did you mean 'cat'?)",
        "region 4: its classes are (): give it one",
        "region 5: it was drawn on a picture of 400×100 pixels, this one has 200×100",
        "region 6: its box from (20, 25) to (20, 50) has no area",
        "region 7: its box from (190, 25) to (290, 50) reaches out of the picture of 200×100 pixels",
        "region 8: 'polygonlabels' is no rectangle: draw one around the thing",
        "task 2: id 3: region 1: 'rectanglelabels' is no rectangle",
    ):
        assert part in text
    assert "region 9" not in text


def test_people_who_draw_differently_have_to_agree(studio):
    oracle, tasks, put = studio
    put(exported(tasks, ([drawn(CAT)], [drawn(CAT), drawn(DOG)]), ([], None)))
    with pytest.raises(UserError, match="id 17: annotator 1 says 1 cat, annotator 2 says 1 cat, 1 dog & co: let them"):
        oracle.answers(1, IDS, IDS)
    put(exported(tasks, ([drawn(CAT)], [drawn(CAT)]), ([], None)))
    assert said(oracle) == {17: (LABELLED, [CAT]), 3: (LABELLED, [])}


@pytest.mark.parametrize("kind", ["annotations.json", "annotations.csv", "annotations.tsv"])
def test_short_exports_are_read_too(studio, kind):
    oracle, tasks, put = studio
    flat = [{**one["value"], "original_width": 200, "original_height": 100} for one in (drawn(CAT), drawn(DOG))]
    told = {"annotator": 2, "lead_time": 4.0, "updated_at": "2026-01-01T00:00:00Z"}
    rows = [{**tasks[0]["data"], "label": flat, **told}, {**tasks[1]["data"], **told}]
    text = json.dumps(rows)
    if kind != "annotations.json":
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, rows[0], dialect="excel" if kind.endswith("csv") else "excel-tab")
        writer.writeheader()
        writer.writerows([{**row, "label": json.dumps(row["label"]) if "label" in row else ""} for row in rows])
        text = table.getvalue()
    put(text, kind)
    assert said(oracle) == {17: (LABELLED, [CAT, DOG]), 3: (LABELLED, [])}
    assert [answer[3:5] for answer in oracle.answers(1, IDS, IDS)] == [("annotator 2", 4.0)] * 2
    rows[1]["word"] = "unlabelable"
    if kind == "annotations.json":
        put(json.dumps(rows))
        assert said(oracle)[3] == (UNLABELABLE, None)
