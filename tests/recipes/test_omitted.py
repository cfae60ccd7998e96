"""Classes that a student has never seen: the shift of their logits, and what is right with it."""

from types import SimpleNamespace

import numpy as np
import pytest

from effjax.recipes.train.omitted import best_shift, measure_omitted, omitted_table, shifted

LABELS = np.array([0, 1, 2, 2])
# Class 2 lies 3, 2.05 and 1 below the highest; of class 1 it is 4 below.
LOGITS = np.array([[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [2.05, 0.0, 0.0], [1.0, 0.0, 0.0]])
NEVER = np.array([2])


def test_the_smallest_shift_that_makes_most_right():
    assert best_shift(LOGITS, LABELS, NEVER) == pytest.approx(2.1)
    assert best_shift(np.array([[0.0, 0.0, 0.05]]), np.array([0]), NEVER) == -0.1
    assert best_shift(LOGITS, np.array([0, 1, 0, 0]), NEVER) == 0  # where nothing helps, nothing is changed
    for size in (0.1, 0.5, 2.0, 4.9):  # either way one of two is right: down, everywhere
        apart = np.array([[0.0, 0.0, 0.05 - size], [0.0, 0.0, size - 0.05]])
        assert best_shift(apart, np.array([2, 0]), NEVER) == -size


def test_only_some_classes_move_and_nothing_is_changed_in_place():
    before = LOGITS.copy()
    moved = shifted(LOGITS, np.array([0, 2]), -1.5)
    np.testing.assert_array_equal(moved, LOGITS - [1.5, 0, 1.5])
    np.testing.assert_array_equal(LOGITS, before)


class Part:
    def __init__(self, logits, labels):
        self.logits, self.labels = logits, labels

    def column(self, name):
        return {"label": self.labels}[name]


def test_the_shift_is_of_validation_and_what_it_changes_of_test():
    test = Part(np.array([[0.0, 0, 1.9], [2.2, 0, 0], [0.0, 0.5, 0], [0, 0, -2.05]]), np.array([2, 2, 1, 0]))
    datasets = SimpleNamespace(
        info=SimpleNamespace(class_names=("a", "b", "c")), validation=Part(LOGITS, LABELS), test=test
    )
    assembled = SimpleNamespace(config={"without_classes": ("c",)}, predict=lambda variables, part: part.logits)
    experiment, done = SimpleNamespace(datasets=datasets), SimpleNamespace(assembled=assembled)
    found = measure_omitted(experiment, done, None, test.logits)
    # By 2.1 the second stays wrong, the third becomes wrong, the last is wrong by 0.05 from then on.
    assert found == {"accuracy": 0.5, "accuracy_corrected": 0.5, "overall_corrected": 0.25, "shift": pytest.approx(2.1)}


def test_the_table_has_a_row_for_each_run_without_some_classes():
    measured = {"accuracy": 0.5, "accuracy_corrected": 0.75, "overall_corrected": 0.9, "shift": 2.06}
    summary = {"all": {"seeds": [{}]}, "few": {"seeds": [{"omitted": measured}]}}
    (row,) = omitted_table(summary, {"all": "whole", "few": "without a 3"}).rows
    assert tuple(row) == ("without a 3", "50.00 %", "75.00 %", "90.00 %", "2.1")
    assert omitted_table({"all": summary["all"]}, {}) is None
