"""Tags and corrected boxes as answers: what they say, cost, and add to what a detector finds."""

import json

import numpy as np
import pytest

from effjax.tasks.box_answers import BoxAnswers
from effjax.tasks.found_rightly import worth_of_tags
from effjax.tasks.tags import TagAnswers, explained

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
    assert TAGS.specs == {}


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


HERE, THERE, NEAR = [0, 0, 0.4, 0.4], [0.5, 0.5, 1, 1], [0.05, 0, 0.4, 0.4]


def found(*each):
    """Detections, (corners, score, class) each."""
    corners, scores, classes = zip(*each, strict=True)
    known = {"boxes": np.array(corners, np.float32), "scores": np.array(scores), "classes": np.array(classes)}
    return {**known, "present": np.ones(len(each), bool)}


def taken(detections, tags, floor=0.5):
    known = explained(detections, tags, floor)
    return known and [array.tolist() for array in known]


def test_a_place_is_of_the_tag_that_was_found_there():
    two = found((HERE, 0.9, 0), (THERE, 0.8, 1), (NEAR, 0.3, 2), (THERE, 0.1, 2))
    assert taken(two, {0, 1}) == [[0, 1], [0, 1]]
    assert taken(two, {1, 2}) == [[2, 1], [2, 1]]  # what looked like an ant there is a cat, where that was found
    assert taken(two, {2}) == [[2, 3], [2, 2]]  # two cats
    assert taken(two, {0, 1}, 0.85) is None  # the bee was overlooked
    assert taken(two, {0, 1, 2}) is None


def test_what_overlaps_by_just_a_half_is_one_place():
    halves = found(([0, 0, 1, 1], 0.9, 0), ([0, 0, 1, 0.5], 0.8, 1))
    assert taken(halves, {0}) == [[0], [0]]
    assert taken(halves, {1}) == [[1], [1]]


def test_of_one_tag_is_all_that_is_found():
    ants = found((HERE, 0.9, 0), (THERE, 0.8, 0))
    assert taken(ants, {1}) == [[0, 1], [1, 1]]
    assert taken(ants, {1, 2}) is None
    assert taken(ants, set()) == [[], []]  # nothing is there, whatever was found
    weak = found((HERE, 0.4, 0), (THERE, 0.3, 0))
    assert taken(weak, {0}) is None
    assert taken(weak, set()) == [[], []]
    assert taken({**ants, "present": np.array([True, False])}, {0}) == [[0], [0]]


def test_what_is_nearly_right_stays_as_proposed():
    answers = BoxAnswers(CLASSES, look=2.0, draw=7.0, verify=1.5)
    true = [box(0, 0, 0.5, 0.5), box(0.5, 0.5, 1, 1, kind="bee"), box(0, 0.5, 0.5, 1)]
    near = box(0, 0, 0.5, 0.45)  # nine tenths
    again = box(0, 0, 0.5, 0.48)
    wrong_class = box(0.5, 0.5, 1, 1, kind="cat")
    far = box(0, 0.62, 0.5, 1)  # 76 hundredths
    mended, cost = answers.corrected(true, [near, again, wrong_class, far])
    assert mended == [near, *true[1:]]
    assert cost == 2.0 + 4 * 1.5 + 2 * 7.0
    assert answers.corrected(true, []) == (true, 2.0 + 3 * 7.0)
    assert answers.corrected([], [near]) == ([], 3.5)
    assert true[0] == box(0, 0, 0.5, 0.5)  # what is true stays so


def test_what_tags_are_worth_is_what_they_put_right():
    """Three images of two detections: one is of a class that is not there, one too weak, and two of the wrong class."""
    corners = np.array([HERE, THERE])
    known = {
        "boxes": np.stack([corners] * 3),
        "scores": np.array([[0.9, 0.8], [0.9, 0.2], [0.9, 0.8]]),
        "classes": np.array([[0, 1], [0, 2], [0, 0]]),
        "present": np.ones((3, 2), bool),
    }
    targets = {
        "objects/bbox": np.stack([corners] * 3),
        "objects/label": np.array([[0, -1], [0, 2], [1, 1]]),
        "objects/valid": np.array([[1, 0], [1, 1], [1, 1]], bool),
    }
    worth = worth_of_tags(known, targets, 0.5)
    assert worth["untagged"] == pytest.approx(2 * 2 / (5 + 5))  # 2 of 5 found are right, 2 of 5 true are found
    assert worth["explained"] == pytest.approx(2 / 3)  # all but the second, where the cat is overlooked
    assert worth["tagged"] == pytest.approx(2 * 3 / (4 + 3))  # of the first both are taken for ants
    assert (worth["none"], worth["each"]) == pytest.approx(
        (2.5, -0.5)
    )  # where two are found 1.5 are, where one is, two
    assert worth["accepted"] == pytest.approx(2 / 5)
    nothing = worth_of_tags({**known, "present": np.zeros((3, 2), bool)}, targets, 0.5)
    none = dict.fromkeys(("untagged", "tagged", "explained", "accepted", "each"), 0.0)
    assert nothing == {**none, "none": pytest.approx(5 / 3)}
    # Edges that are off by an eighth: an overlap of .875, right at 8 of 10 bounds, and people leave them as they are.
    off = np.array([[0, 0, 0.4, 0.35], [0.5, 0.5, 1, 0.9375]], np.float32)
    narrow = worth_of_tags({**known, "boxes": np.stack([off] * 3)}, targets, 0.5)
    assert narrow["untagged"] == pytest.approx(0.8 * worth["untagged"])
    assert narrow["tagged"] == pytest.approx(0.8 * worth["tagged"])
    assert (narrow["accepted"], narrow["explained"]) == (worth["accepted"], worth["explained"])
    off[:, 3] = 0.3, 0.85  # .75, .7: half of the bounds, and drawn anew
    narrow = worth_of_tags({**known, "boxes": np.stack([off] * 3)}, targets, 0.5)
    assert 0.4 * worth["untagged"] < narrow["untagged"] < 0.65 * worth["untagged"]
    assert narrow["accepted"] == 0


def test_how_many_there_are_follows_how_many_are_found():
    counts, true = np.array([0, 1, 2, 3, 3]), np.array([1, 1, 3, 3, 4])
    many = np.stack([np.tile([k / 8, 0, (k + 1) / 8, 1], (5, 1)) for k in range(8)], 1)
    there = np.arange(8) < counts[:, None]
    known = {"boxes": many, "scores": np.full((5, 8), 0.9), "classes": np.zeros((5, 8), int), "present": there}
    valid = np.arange(8) < true[:, None]
    targets = {"objects/bbox": many, "objects/label": np.where(valid, 0, -1), "objects/valid": valid}
    worth = worth_of_tags(known, targets, 0.5)
    each, none = np.polyfit(counts, true, 1)
    assert (worth["none"], worth["each"]) == pytest.approx((none, each))
