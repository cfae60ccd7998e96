"""A pool with a ledger's labels: ids stay, nothing of the dataset's own labels shines through."""

import numpy as np
import pytest
from conftest import ArraySource

from effjax.data.base import Subset
from effjax.data.labelled import labelled
from effjax.specs import Spec

POOL = Subset(ArraySource(20), [3, 5, 8, 13, 17])  # its own labels: odd, odd, even, odd, odd


LABEL = {"label": Spec(np.int32)}


def test_the_labelled_part_in_the_order_of_the_ledger():
    known = labelled(POOL, {13: {"label": 0}, 5: {"label": 1}}, LABEL)
    assert known.ids().tolist() == [13, 5]
    assert known.column("label").tolist() == [0, 1]
    assert [(int(e["id"]), int(e["label"])) for e in known] == [(13, 0), (5, 1)]
    assert known[0]["label"].dtype == known.column("label").dtype == np.int32
    np.testing.assert_array_equal(known[0]["image"], POOL[3]["image"])
    whole = labelled(ArraySource(4), {2: {"label": 1}}, LABEL)
    assert (whole.ids().tolist(), whole.column("label").tolist()) == ([2], [1])


def test_targets_that_the_pool_has_never_had():
    boxes = np.arange(8, dtype=np.float32).reshape(2, 4)
    specs = {"boxes": Spec(np.float32, (2, 4), 0), "valid": Spec(np.bool_, (2,), False)}
    known = labelled(
        POOL, {17: {"boxes": boxes, "valid": [True, False]}, 3: {"boxes": -boxes, "valid": [True] * 2}}, specs
    )
    np.testing.assert_array_equal(known.column("boxes"), [boxes, -boxes])
    np.testing.assert_array_equal(known[1]["boxes"], -boxes)
    assert known[0]["valid"].tolist() == [True, False]
    assert known.info.features["boxes"] == specs["boxes"]
    assert int(known[0]["label"]) == 1  # of the pool


def test_an_example_that_is_not_in_the_pool_is_refused():
    with pytest.raises(ValueError, match=r"1 ids are not in memory/train: \[4\]"):
        labelled(POOL, {4: {"label": 0}}, LABEL)
