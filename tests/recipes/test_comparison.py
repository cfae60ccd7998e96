"""Loops held against one another: what the report says of them in sentences, with values by hand."""

import pytest

from effjax.recipes.active.comparison import Comparison
from effjax.tasks import CLASSIFICATION, DETECTION

RISES = {"chance": (0.5, 0.6), "entropy": (0.54, 0.64), "badge": (0.5, 0.7)}


def compared(names=("chance", "entropy", "badge"), control="chance", shift=0, task=CLASSIFICATION, **facts):
    """Loops of two seeds, of 10 and 20 labels; the second seed is a hundredth better."""
    measured = {
        name: {
            "seeds": [
                {
                    "seed": seed,
                    "rounds": [
                        {"labels": labels + shift * i, f"test/{task.watch}": RISES[name][j] + seed / 100, **facts}
                        for j, labels in enumerate((10, 20))
                    ],
                }
                for seed in (0, 1)
            ]
        }
        for i, name in enumerate(names)
    }
    return Comparison(measured, {name: f"by {name}" for name in names}, control, (), (), "test", task)


def test_the_lead_says_what_each_gains_over_the_control():
    assert compared().lead() == (
        "Area under the learning curve against by chance, seed by seed, with its 95 % interval. "
        "by entropy: +4.00 ± 0.00 %; by badge: +5.00 ± 0.00 %"
    )


@pytest.mark.parametrize("loops", [{"control": None}, {"control": "other"}, {"names": ("chance",)}])
def test_without_anything_to_compare_the_lead_asks(loops):
    assert compared(**loops).lead() == "What accuracy do how many labels buy, if they are chosen well?"


def test_more_than_can_be_read_in_a_sentence_are_not_listed(monkeypatch):
    for count in (4, 5):
        names = ("chance", *(f"run {i}" for i in range(count)))
        for name in names[1:]:
            monkeypatch.setitem(RISES, name, (0.5, 0.6))
        assert compared(names).lead().startswith("Area" if count == 4 else "What")


def test_an_area_is_of_the_labels_that_all_loops_cover():
    assert compared(shift=2).area() == (
        "Area: the mean accuracy from 14 to 20 labels, which all loops cover (the area under the learning curve by the "
        "trapezoidal rule, divided by that range)."
    )
    assert compared(shift=30).area() == "There is no number of labels that all loops cover, and so no area."


def test_loops_whose_answers_have_several_items_are_compared_by_items_and_by_seconds_too():
    def said(**facts):
        return [note.partition(":")[0] for _, note in compared(task=DETECTION, **facts).further()]

    assert said(items=7, cost=9.0)[-2:] == ["The same loops by boxes", "The same loops by seconds"]
    assert "The same loops by boxes" in said(items=7)
    assert "The same loops by seconds" not in said(items=7)
    assert not compared().costs_differ()
    assert compared(cost=3.0).costs_differ()
