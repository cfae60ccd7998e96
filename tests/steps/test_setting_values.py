"""What every setting of a plan takes and refuses, and what it makes of an objective."""

import dataclasses

import pytest
from toy import make_objective

from effjax import models
from effjax.steps import View
from effjax.steps.batch_selection import uniform
from effjax.steps.settings import SETTINGS, Subject

SHAPE = (32, 24, 1)
OBJECTIVE = make_objective("scnn")
VIT = dataclasses.replace(
    make_objective("mlp"), student=models.create("vit", 3, patch=4, dim=12, blocks=1, heads=3), selection=uniform()
)
TAKEN = {
    "image_size": (1, 14, 24),
    "tokens": (0.25, 1),
    "smoothing": (0, 0.0, 1.5),
    "accumulate": (1, 4),
    "candidates": (1, 1.5),
    "replay": (1, (2, 1), [4, 8]),
}
REFUSED = {
    "image_size": ((0, -1, 25, 32, 14.0, "14", True, None), "a number of pixels, at most 24"),
    "tokens": ((0, 1.1, -1, True, "1", None), "a share of the patches, above 0 and at most 1"),
    "smoothing": ((-0.1, True, "1", float("inf"), None), "a number from 0 on"),
    "accumulate": ((0, -2, 1.0, True, "2", None), "a number of parts, 1 or more"),
    "candidates": ((0.9, 0, True, "2", float("inf"), None), "a number from 1 on"),
    "replay": ((True, 2, (1, 1), (2, 0), (2, 1, 1), (2.0, 1), (True, 1), (2, True), "21"), "must be 1, or"),
}


def subject_of(name):
    return Subject(OBJECTIVE if name in ("image_size", "smoothing", "accumulate") else VIT, SHAPE)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in TAKEN.items() for value in values])
def test_what_is_taken(name, value):
    assert SETTINGS[name].check(value, subject_of(name)) is None


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (values, _) in REFUSED.items() for value in values]
)
def test_what_is_refused(name, value):
    said = SETTINGS[name].check(value, subject_of(name))
    assert said.startswith(repr(value))
    assert REFUSED[name][1] in said


def test_what_a_network_cannot_follow_is_refused():
    plain = Subject(make_objective("mlp"), SHAPE)
    for name, value, said in (
        ("tokens", 0.5, "Mlp cannot leave out patches; vit and deit_* can"),
        ("smoothing", 1.0, "no convolution of more than single pixels"),
        ("candidates", 2, "give the run a selection"),
        ("magnitude", 5, "nothing has a magnitude"),
    ):
        assert said in SETTINGS[name].check(value, plain)


def test_what_they_make_of_an_objective():
    sized = SETTINGS["image_size"].apply(OBJECTIVE, 14)
    assert (sized.view.size, OBJECTIVE.view.size) == (14, None)
    two = dataclasses.replace(OBJECTIVE, views={"strong": View()})
    assert SETTINGS["image_size"].apply(two, 14).views["strong"].size == 14
    assert SETTINGS["tokens"].apply(VIT, 0.5).student.token_share == 0.5
    assert SETTINGS["accumulate"].apply(OBJECTIVE, 4).accumulate == 4
    assert SETTINGS["candidates"].apply(VIT, 2).selection.candidates == 2.0
    assert SETTINGS["smoothing"].apply(OBJECTIVE, 1.5).smoothing == 1.5


def test_their_order_and_what_each_does_to_a_run():
    """In this order a stage applies and enters them; what is wrapped or reshaped before decides what comes after."""
    assert list(SETTINGS) == [
        *("terms", "trainable", "tokens", "channels", "image_size", "smoothing", "accumulate", "magnitude"),
        *("sparsity", "data", "candidates", "replay", "bits"),
    ]

    def those(attribute, value=True):
        return {name for name, setting in SETTINGS.items() if getattr(setting, attribute) == value}

    assert those("evaluated") == those("reshapes") == {"channels", "image_size", "bits"}
    assert those("keeps_best", False) == {"channels", "image_size", "data", "bits"}
    assert those("late") == {"bits"}
    assert those("kind", "schedule") == {"smoothing", "magnitude", "sparsity"}
    assert those("kind", "feed") == {"data"}
