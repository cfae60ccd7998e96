"""Classes put together: new labels, everything else as it was."""

import dataclasses

import numpy as np
import pytest
from conftest import ArraySource

from effjax.data.base import Subset
from effjax.data.grouping import group_classes
from effjax.errors import UserError

NAMES = ("fine", "likely fine", "broken")


class Graded(ArraySource):
    """Three classes, in turn."""

    def __init__(self, num_examples: int = 12):
        super().__init__(num_examples)
        self.info = dataclasses.replace(self.info, class_names=NAMES)

    def __getitem__(self, row):
        return {**super().__getitem__(row), "label": self.column("label")[row]}

    def column(self, name):
        return np.arange(len(self), dtype=np.int32) % 3


GROUPS = (("broken", ("broken",)), ("fine", ("likely fine", "fine")))


def test_labels_are_those_of_the_groups():
    plain = Graded()
    grouped = group_classes(plain, GROUPS)
    assert grouped.info.class_names == ("broken", "fine")
    assert grouped.info.num_classes == 2
    np.testing.assert_array_equal(grouped.column("label"), [1, 1, 0] * 4)
    for row in range(len(plain)):
        example = grouped[row]
        assert example["label"] == grouped.column("label")[row]
        assert example["id"] == plain[row]["id"]
        np.testing.assert_array_equal(example["image"], plain[row]["image"])


def test_a_part_keeps_its_global_ids():
    part = group_classes(Subset(Graded(), [7, 2, 5]), GROUPS)
    np.testing.assert_array_equal(part.ids(), [7, 2, 5])
    np.testing.assert_array_equal(part.column("label"), [1, 0, 0])
    assert int(part[1]["id"]) == 2
    without = Subset(part, part.ids()[part.column("label") == 0])
    np.testing.assert_array_equal(without.column("label"), [0, 0])
    assert [int(example["id"]) for example in without] == [2, 5]


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ((("a", ("fine", "brokn")),), r"no class 'brokn'; .*did you mean 'broken'"),
        ((("a", ("fine", "broken")), ("b", ("fine",))), "'fine' is in two groups"),
        ((("a", ("fine",)), ("b", ("broken",))), "'likely fine' is in no group"),
    ],
)
def test_groups_that_do_not_fit(groups, said):
    with pytest.raises(UserError, match=said):
        group_classes(Graded(), groups)
