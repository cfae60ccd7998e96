import pickle

import numpy as np
import pytest

from effjax.data.base import View, global_ids


def test_a_view_keeps_global_ids(array_source):
    view = View(array_source(10), [7, 2, 5])
    assert [int(view[row]["id"]) for row in range(len(view))] == [7, 2, 5]
    assert view[1]["image"].max() == 2
    assert view.labels().tolist() == [1, 0, 1]
    assert view.info.num_examples == 3
    assert global_ids(view).tolist() == [7, 2, 5]


def test_a_view_of_a_view_is_asked_for_by_global_ids(array_source):
    view = View(View(array_source(10), [7, 2, 5]), np.array([5, 7], np.int32))
    assert [int(example["id"]) for example in view] == [5, 7]
    with pytest.raises(ValueError, match="not in memory/train: \\[3\\]"):
        View(View(array_source(10), [7, 2, 5]), [3])


@pytest.mark.parametrize(
    ("ids", "message"), [([1, 1], "twice"), ([10], "not in"), ([-1], "not in"), ([0.5], "integers"), ([[1]], "list")]
)
def test_wrong_ids_are_refused(array_source, ids, message):
    with pytest.raises(ValueError, match=message):
        View(array_source(10), ids)


def test_an_empty_view_is_empty(array_source):
    assert len(View(array_source(10), [])) == 0


def test_a_view_travels_to_a_worker(data_dir):
    from effjax.data.sources import load

    view = View(load("digits", "test", data_dir), [9, 3])
    view[0]  # opens the records, which must not be pickled
    copy = pickle.loads(pickle.dumps(view))
    for row in range(2):
        for name, value in view[row].items():
            np.testing.assert_array_equal(copy[row][name], value)
