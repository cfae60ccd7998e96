"""A source that remembers gives what the source gives, decodes once, and no more than it may hold."""

import dataclasses
import pickle

import numpy as np
import pytest

from effjax.data.base import DatasetInfo, Subset, labelled_images
from effjax.data.cached import CachedSource, cached


@dataclasses.dataclass
class Counting:
    """Ten images of 4 × 4 × 1, and how often each row was read."""

    size: int = 4

    def __post_init__(self):
        self.info = DatasetInfo("counting", "train", 10, ("a", "b"), labelled_images((self.size, self.size, 1)))
        self.reads = [0] * 10

    def __len__(self):
        return 10

    def __getitem__(self, row):
        self.reads[row] += 1
        image = np.full((self.size, self.size, 1), row, np.uint8)
        return {"image": image, "label": np.asarray(row % 2, np.int32), "id": np.asarray(row, np.int32)}

    def ids(self):
        return np.arange(10)

    def column(self, name):
        return np.arange(10, dtype=np.int32) % 2

    def at_size(self, image_size):
        return Counting(image_size)


@pytest.mark.parametrize("times", [1, 3])
def test_the_same_examples_and_each_is_read_once(times):
    source, fresh = Counting(), Counting()
    kept = cached(source, most_bytes=160)
    for _ in range(times):
        for row in (7, 2, np.int64(2)):
            for name, value in fresh[int(row)].items():
                np.testing.assert_array_equal(kept[row][name], value)
    assert source.reads == [0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    np.testing.assert_array_equal(kept.column("label"), source.column("label"))
    assert len(kept) == 10
    assert kept.info == source.info


def test_what_is_too_large_is_left_alone():
    source = Counting()
    assert cached(source, most_bytes=159) is source


def test_subsets_of_subsets_share_one_memory_and_keep_their_ids():
    source = Counting()
    several = cached(Subset(source, [9, 4, 1]), most_bytes=160)
    part = Subset(several, [1, 9])
    np.testing.assert_array_equal(part.ids(), [1, 9])
    assert [int(part[row]["id"]) for row in (0, 1)] == [1, 9]
    assert int(several[0]["id"]) == 9
    assert source.reads[9] == 1
    assert sum(source.reads) == 2


def test_one_reader_cannot_change_what_another_reads():
    kept = cached(Counting(), most_bytes=160)
    example = kept[3]
    example["label"] = 5
    with pytest.raises(ValueError, match="read-only"):
        example["image"][:] = 0
    assert int(kept[3]["label"]) == 1


def test_other_sizes_are_decoded_anew_and_workers_start_empty():
    kept = CachedSource(Counting())
    kept[0]
    assert kept.at_size(2)[0]["image"].shape == (2, 2, 1)
    assert kept[0]["image"].shape == (4, 4, 1)
    copied = pickle.loads(pickle.dumps(kept))
    copied[0]
    assert copied.source.reads[0] == 2  # once before it was copied, once after
