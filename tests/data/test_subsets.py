import pickle

import numpy as np
import pytest

from effjax.data.base import Subset


def test_a_subset_keeps_global_ids(array_source):
    part = Subset(array_source(10), [7, 2, 5])
    assert [int(part[row]["id"]) for row in range(len(part))] == [7, 2, 5]
    assert part[1]["image"].max() == 2
    assert part.column("label").tolist() == [1, 0, 1]
    assert part.info.num_examples == 3
    assert part.ids().tolist() == [7, 2, 5]


def test_a_subset_of_a_subset_is_asked_for_by_global_ids(array_source):
    part = Subset(Subset(array_source(10), [7, 2, 5]), np.array([5, 7], np.int32))
    assert [int(example["id"]) for example in part] == [5, 7]
    with pytest.raises(ValueError, match="not in memory/train: \\[3\\]"):
        Subset(Subset(array_source(10), [7, 2, 5]), [3])


@pytest.mark.parametrize(
    ("ids", "message"), [([1, 1], "twice"), ([10], "not in"), ([-1], "not in"), ([0.5], "integers"), ([[1]], "list")]
)
def test_wrong_ids_are_refused(array_source, ids, message):
    with pytest.raises(ValueError, match=message):
        Subset(array_source(10), ids)


def test_an_empty_subset_is_empty(array_source):
    assert len(Subset(array_source(10), [])) == 0


def test_a_subset_travels_to_a_worker(data_dir):
    from effjax.data.sources import load

    part = Subset(load("digits", "test", data_dir), [9, 3])
    part[0]  # opens the records, which must not be pickled
    copy = pickle.loads(pickle.dumps(part))
    for row in range(2):
        for name, value in part[row].items():
            np.testing.assert_array_equal(copy[row][name], value)
