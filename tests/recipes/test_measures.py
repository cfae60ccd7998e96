"""What is measured of a round's networks where a task is not of classes: kept without a look, compared at the end."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.measures import TaskMeasures
from effjax.tasks import CLASSIFICATION

TARGETS = {"validation": np.array([1.0, 2.0, 4.0]), "test": np.array([0.0, 3.0])}


class Column(SimpleNamespace):
    def column(self, name):
        assert name == "height"
        if self.hidden:
            raise AssertionError("the targets of the test split were looked at")
        return TARGETS[self.split]


def mean_error(preds, targets):
    found = preds["at"]["height"] if isinstance(preds, dict) else preds
    return {"error": float(np.abs(found - targets["height"]).mean()), "largest": float(found.max())}


def measures(nested: bool, members: int):
    task = dataclasses.replace(CLASSIFICATION, targets={"height": None}, measure=mean_error, of_classes=False)
    datasets = SimpleNamespace(**{split: Column(split=split, hidden=False) for split in TARGETS})

    def predict(variables, source):
        found = TARGETS[source.split] + variables
        return {"at": {"height": found}, "sure": found * 0} if nested else found

    return TaskMeasures(task, datasets, predict, lambda variables: [variables + m for m in range(members)])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("members", [1, 12])  # of twelve, the tenth comes after the second
def test_what_was_kept_is_compared_as_if_at_once(tmp_path, nested, members):
    made, folder = measures(nested, members), LoopFolder(tmp_path)
    off = 0.5 + np.arange(members)  # of each network, from every target
    found = made.validate(0.5, seed=0)
    assert found == pytest.approx({"validation/error": off.mean(), "validation/largest": 4 + off.mean()})
    made.datasets.test.hidden = True
    folder.round(3).mkdir()
    made.keep(0.5, 0, folder, 3)
    made.datasets.test.hidden = False
    assert made.test({"round": 3}, folder) == pytest.approx({"test/error": off.mean(), "test/largest": 3 + off.mean()})
