"""Tags and corrected boxes as answers: what they say, cost, and add to what a detector finds."""

import json

import numpy as np
import pytest

from effjax.tasks.box_answers import BoxAnswers
from effjax.tasks.found_rightly import worth_of_tags
from effjax.tasks.tags import TagAnswers, agreeing

CLASSES = ("ant", "bee", "cat")
TAGS = BoxAnswers(CLASSES, tag=1.5).tags


def box(*corners, kind="ant"):
    return {"box": list(corners), "class": kind}


def test_tags_are_the_classes_that_there_are():
    targets = {"objects/label": np.array([2, 0, 2, 1]), "objects/valid": np.array([1, 1, 1, 0], bool)}
    assert TAGS.write(targets) == ["ant", "cat"]
    assert TAGS.parse('["ant", "cat"]') == ["ant", "cat"]
    assert (TAGS.show(["ant", "cat"]), TAGS.show([])) == ("tags: ant, cat", "tags: nothing")
    assert (TAGS.cost(["ant"]), TAGS.cost([]), TAGS.items(["ant"])) == (4.5, 4.5, 0)  # every class is asked for
    assert not TAGS.specs


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("ant", "is no JSON"),
        ('"ant"', "no list of classes"),
        ('["ant", "dog", 3]', '"dog", 3: none of the classes ant, bee, cat'),
        ('["ant", "ant"]', "named twice"),
        ('[["ant"]]', "none of the classes"),
    ],
)
def test_what_are_no_tags_is_said(said, problem):
    with pytest.raises(ValueError, match=problem):
        TAGS.parse(said)
    if "JSON" not in problem:
        assert TagAnswers(CLASSES).problem(json.loads(said))


def test_tags_leave_what_agrees_and_add_what_must_be():
    found = {
        "scores": np.array([0.9, 0.8, 0.3, 0.2, 0.1, 0.02]),
        "classes": np.array([0, 1, 2, 2, 0, 1]),
        "present": np.array([1, 1, 1, 1, 1, 1], bool),
    }
    assert agreeing(found, {0}, 0.5).tolist() == [0]
    assert agreeing(found, {0, 2}, 0.5).tolist() == [0, 2]  # there is a cat: the surest, however weak
    assert agreeing(found, {0, 2}, 0.15).tolist() == [0, 2, 3]
    assert agreeing(found, set(), 0.0).tolist() == []
    unsure = {**found, "scores": np.full(6, 0.01)}
    assert agreeing(unsure, {0, 1, 2}, 0.5).tolist() == []
    assert agreeing({**found, "present": np.zeros(6, bool)}, {0, 1}, 0.1).tolist() == []


def test_what_is_nearly_right_stays_as_proposed():
    answers = BoxAnswers(CLASSES, look=2.0, draw=7.0, verify=1.5)
    true = [box(0, 0, 0.5, 0.5), box(0.5, 0.5, 1, 1, kind="bee"), box(0, 0.5, 0.5, 1)]
    near = box(0, 0, 0.5, 0.45)  # nine tenths
    again = box(0, 0, 0.5, 0.48)
    wrong_class = box(0.5, 0.5, 1, 1, kind="cat")
    far = box(0, 0.7, 0.5, 1)  # six tenths
    mended, cost = answers.corrected(true, [near, again, wrong_class, far])
    assert mended == [near, *true[1:]]
    assert cost == 2.0 + 4 * 1.5 + 2 * 7.0
    assert answers.corrected(true, []) == (true, 2.0 + 3 * 7.0)
    assert answers.corrected([], [near]) == ([], 3.5)
    assert true[0] == box(0, 0, 0.5, 0.5)  # what is true stays so


def test_what_tags_are_worth_is_what_they_put_right():
    """Two images of two detections: in the first one is of a class that is not there, in the second one is too weak."""
    corners = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    found = {
        "boxes": np.stack([corners, corners]),
        "scores": np.array([[0.9, 0.8], [0.9, 0.2]]),
        "classes": np.array([[0, 1], [0, 2]]),
        "present": np.ones((2, 2), bool),
    }
    targets = {
        "objects/bbox": np.stack([corners, corners]),
        "objects/label": np.array([[0, -1], [0, 2]]),
        "objects/valid": np.array([[1, 0], [1, 1]], bool),
    }
    worth = worth_of_tags(found, targets, 0.5)
    assert worth["untagged"] == pytest.approx(2 * 2 / (3 + 3))  # 2 of 3 found are right, 2 of 3 true are found
    assert worth["tagged"] == 1.0
    # Two are found where one is true, one where two are: one less for each.
    assert (worth["none"], worth["each"]) == pytest.approx((3.0, -1.0))
    nothing = worth_of_tags({**found, "present": np.zeros((2, 2), bool)}, targets, 0.5)
    assert nothing == {"untagged": 0.0, "tagged": 0.0, "none": 1.5, "each": 0.0}
