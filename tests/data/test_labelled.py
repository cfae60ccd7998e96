"""A pool with a ledger's labels: ids stay, nothing of the dataset's own labels shines through."""

import numpy as np
import pytest
from conftest import ArraySource

from effjax.data.base import View, global_ids
from effjax.data.labelled import Labelled

POOL = View(ArraySource(20), [3, 5, 8, 13, 17])  # its own labels: odd, odd, even, odd, odd


def test_only_what_was_asked_for_has_a_label():
    pool = Labelled(POOL, {13: 0, 5: 1})
    assert pool.labels().tolist() == [-1, 1, -1, 0, -1]
    assert [int(pool[row]["label"]) for row in range(5)] == [-1, 1, -1, 0, -1]
    assert [int(pool[row]["id"]) for row in range(5)] == [3, 5, 8, 13, 17]
    assert pool.rows.tolist() == [3, 1]
    assert len(pool) == 5


def test_the_labelled_part_in_the_order_of_the_ledger():
    known = Labelled(POOL, {13: 0, 5: 1}).known()
    assert global_ids(known).tolist() == [13, 5]
    assert known.labels().tolist() == [0, 1]
    assert [(int(e["id"]), int(e["label"])) for e in known] == [(13, 0), (5, 1)]
    np.testing.assert_array_equal(known[0]["image"], POOL[3]["image"])
    whole = Labelled(ArraySource(4), {2: 1}).known()
    assert (global_ids(whole).tolist(), whole.labels().tolist()) == ([2], [1])


@pytest.mark.parametrize(("labels", "message"), [({4: 0}, "example 4 is not in"), ({5: 2}, "label 2 is none of the 2")])
def test_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        Labelled(POOL, labels)
