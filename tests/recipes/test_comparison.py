"""What the page of labelling loops says first: gains against the control in a sentence, and what the area is of."""

import pytest

from effjax.recipes.active.comparison import Comparison
from effjax.tasks import CLASSIFICATION


def loops(**accuracies):
    """Two rounds of two seeds a run: of 10 labels ``first``, of 30 what is given by seed."""
    return {
        name: {
            "seeds": [
                {"seed": seed, "rounds": [{"labels": 10, "test/accuracy": 0.2}, {"labels": 30, "test/accuracy": last}]}
                for seed, last in enumerate(lasts)
            ]
        }
        for name, lasts in accuracies.items()
    }


def comparison(measured, control="random"):
    return Comparison(measured, {name: name.title() for name in measured}, control, (), (), "test", CLASSIFICATION)


def test_gains_are_read_in_a_sentence():
    said = comparison(loops(random=(0.4, 0.6), entropy=(0.6, 0.8), margin=(0.5, 0.6))).lead()
    assert said.startswith("Area under the learning curve against Random, seed by seed, with its 95 % interval. ")
    # The means of 0.2 and the last: of entropy 0.1 more by both seeds, of margin 0.05 and 0.
    assert said.endswith("Entropy: +10.00 ± 0.00 %; Margin: +2.50 ± 31.77 %")


@pytest.mark.parametrize(
    ("names", "control"), [("random", "random"), ("random a b c d e", "random"), ("random a", None), ("random a", "b")]
)
def test_none_or_too_many_are_a_question(names, control):
    measured = loops(**dict.fromkeys(names.split(), (0.4, 0.6)))
    assert comparison(measured, control).lead() == "What accuracy do how many labels buy, if they are chosen well?"


def test_what_the_area_is_of():
    measured = loops(random=(0.4, 0.6), entropy=(0.6, 0.8))
    assert "from 10 to 30 labels, which all loops cover" in comparison(measured).area()
    for seed in measured["random"]["seeds"]:
        for round_ in seed["rounds"]:
            round_["labels"] += 100
    assert comparison(measured).area() == "There is no number of labels that all loops cover, and so no area."
