"""Boxes as people write them: read back as they were, and everything that is wrong said at once."""

import json
import re

import numpy as np
import pytest

from effjax.tasks.box_answers import BoxAnswers

ANSWERS = BoxAnswers(("cat", "dog"))
TARGETS = {
    "objects/bbox": np.array([[0.125, 0.25, 0.5, 0.75], [0, 0, 1, 0.3333333], [0, 0, 0, 0]], np.float32),
    "objects/label": np.array([1, 0, -1], np.int32),
    "objects/valid": np.array([True, True, False]),
}
WRITTEN = [
    {"box": [0.125, 0.25, 0.5, 0.75], "class": "dog"},
    {"box": [0.0, 0.0, 1.0, 0.333333], "class": "cat"},
]


def test_what_is_written_is_read_back():
    assert ANSWERS.write(TARGETS) == WRITTEN
    text = json.dumps(ANSWERS.write(TARGETS))
    assert ANSWERS.parse(text) == WRITTEN
    found = ANSWERS.read(ANSWERS.parse(text))
    assert found.keys() == ANSWERS.specs.keys()
    for name, array in found.items():
        assert array.dtype == ANSWERS.specs[name].dtype
        np.testing.assert_allclose(array, TARGETS[name][:2], atol=1e-6)
    assert ANSWERS.write(found) == WRITTEN


def test_an_image_may_show_nothing():
    assert ANSWERS.parse("[]") == []
    found = ANSWERS.read([])
    assert {name: array.shape for name, array in found.items()} == {
        "objects/bbox": (0, 4), "objects/label": (0,), "objects/valid": (0,)
    }  # fmt: skip
    assert ANSWERS.write({name: array[2:] for name, array in TARGETS.items()}) == []
    assert (ANSWERS.show([]), ANSWERS.show(WRITTEN)) == ("nothing", "1 dog, 1 cat")


def test_an_image_costs_and_so_does_each_box():
    assert (ANSWERS.cost([]), ANSWERS.cost(WRITTEN)) == (2, 16)
    assert BoxAnswers(("cat",), look=1, draw=35).cost(WRITTEN) == 71
    assert (ANSWERS.items([]), ANSWERS.items(WRITTEN)) == (0, 2)


def box(*corners, name="cat"):
    return {"box": list(corners), "class": name}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"box": [0, 0, 1, 1]}, "is no list of boxes"),
        ("cat", '"cat" is no list of boxes'),
        ([[0, 0, 1, 1]], 'box 1: [0, 0, 1, 1] is not {"box": [y0, x0, y1, x1], "class": name}'),
        ([{"box": [0, 0, 1, 1]}], "box 1: "),
        ([{**box(0, 0, 1, 1), "score": 1}], "box 1: "),
        ([box(0, 0, 1)], "box 1: [0, 0, 1] are not four numbers"),
        ([box(0, 0, 1, "1")], 'box 1: [0, 0, 1, "1"] are not four numbers'),
        ([box(0, 0, 1, True)], "are not four numbers"),
        ([{"box": 3, "class": "cat"}], "3 are not four numbers"),
        ([box(0, 0, 1, 1.5)], "box 1: [0, 0, 1, 1.5] reaches out of the image"),
        ([box(0, -0.1, 1, 1)], "reaches out of the image"),
        ([box(0, 0, float("nan"), 1)], "reaches out of the image"),
        ([box(0.5, 0, 0.5, 1)], "box 1: [0.5, 0, 0.5, 1] has no area: y0 < y1 and x0 < x1"),
        ([box(0, 0.6, 1, 0.5)], "has no area"),
        ([box(0, 0, 1, 1, name="cow")], 'box 1: "cow" is none of the classes cat, dog'),
        ([box(0, 0, 1, 1, name=["cat"])], "is none of the classes"),
        ([box(0, 0, 1, 1, name=None)], "null is none of the classes"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(answer, said):
    problem = ANSWERS.problem(answer)
    assert said in problem
    assert "\n" not in problem
    with pytest.raises(ValueError, match=re.escape(problem)):
        ANSWERS.parse(json.dumps(answer))


def test_all_wrong_boxes_are_said_at_once():
    wrong = [box(0, 0, 1, 2), box(0, 0, 1, 1), box(0, 0, 0, 1), box(0, 0, 1, 1, name="cow")]
    said = ANSWERS.problem(wrong)
    assert [part.split(":")[0] for part in said.split("; ")] == ["box 1", "box 3", "box 4"]
    assert ANSWERS.problem([box(0, 0, 1, 1)]) is None


@pytest.mark.parametrize("text", ["", "cat", "[0, 0, 1, 1", '[{"box"', "[" * 100_000, "[" + "9" * 5000 + "]"])
def test_what_is_no_json_is_answered_by_what_is_asked_for(text):
    with pytest.raises(ValueError, match=r"is no JSON \(.*\): write all boxes as") as found:
        ANSWERS.parse(text)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 500


def test_people_are_told_how_to_write_and_what():
    assert ANSWERS.hint.endswith("classes: cat, dog")
    assert ANSWERS.choices == ()
