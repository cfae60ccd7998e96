import itertools
import multiprocessing
import threading
import time

import numpy as np
import pytest

from effjax.data.pipeline import eval_batches, stack, train_batches
from effjax.data.resident import as_arrays, nbytes
from effjax.data.sampler import Sampler
from effjax.data.sources import load
from effjax.errors import UserError


def _ids(batches) -> list[list[int]]:
    with batches:
        return [batch["id"].tolist() for batch in batches]


def _add_ten(example):
    return {**example, "image": example["image"] + np.uint8(10)}


def test_batches_hold_the_sampler_s_rows(array_source):
    sampler = Sampler(10, 4, seed=3)
    with train_batches(array_source(10), sampler, 0, 5) as batches:
        batch = next(batches)
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "image": ((4, 2, 3, 1), "uint8"),
        "label": ((4,), "int32"),
        "id": ((4,), "int32"),
    }
    np.testing.assert_array_equal(batch["id"], sampler.rows(0))
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], sampler.rows(0))
    assert _ids(train_batches(array_source(10), sampler, 0, 7)) == [sampler.rows(t).tolist() for t in range(7)]


@pytest.mark.parametrize("num_threads", [0, 1, 4])
def test_a_later_start_gives_the_same_batches(array_source, num_threads):
    sampler, source = Sampler(10, 4, seed=3), array_source(10)
    whole = _ids(train_batches(source, sampler, 0, 20))
    assert _ids(train_batches(source, sampler, 13, 20, num_threads=num_threads)) == whole[13:]
    assert _ids(train_batches(source, sampler, 20, 20, num_threads=num_threads)) == []


def test_worker_processes_change_nothing_and_end(data_dir):
    source = load("digits", "validation", data_dir)
    sampler = Sampler(len(source), 64, seed=1)
    with train_batches(source, sampler, 5, 12) as batches:  # 500 / 64: crosses into the second epoch
        expected = list(batches)
    for num_workers, stop in ((1, 12), (2, 1000)):  # the second is closed long before its end
        with train_batches(source, sampler, 5, stop, num_workers=num_workers) as batches:
            for other in expected:
                batch = next(batches)
                assert batch.keys() == other.keys()
                for name in other:
                    np.testing.assert_array_equal(batch[name], other[name])
            assert len(multiprocessing.active_children()) == num_workers
        assert multiprocessing.active_children() == []


def test_closing_early_ends_the_threads(array_source):
    before = set(threading.enumerate())  # of which some may be ending
    batches = train_batches(array_source(10), Sampler(10, 4, seed=0), 0, 100_000, num_threads=3)
    next(batches)
    own = set(threading.enumerate()) - before
    assert own
    batches.close()
    deadline = time.monotonic() + 10  # each thread ends after the batch in its hands
    while any(thread.is_alive() for thread in own) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(thread.is_alive() for thread in own)
    assert next(batches, None) is None


def test_processes_share_each_batch(array_source):
    sampler, source = Sampler(10, 6, seed=4), array_source(10)
    whole = _ids(train_batches(source, sampler, 0, 5))
    parts = [_ids(train_batches(source, sampler, 0, 5, process_index=p, process_count=3)) for p in range(3)]
    assert [list(itertools.chain(*part)) for part in zip(*parts, strict=True)] == whole


def test_transform_is_applied_to_each_example(array_source):
    sampler = Sampler(10, 4, seed=0)
    with train_batches(array_source(10), sampler, 0, 1, transform=_add_ten) as batches:
        np.testing.assert_array_equal(next(batches)["image"][:, 0, 0, 0], sampler.rows(0) + 10)


def test_a_batch_that_processes_do_not_divide_is_refused(array_source):
    with pytest.raises(UserError, match=r"batch_size 10 is not divided by 4 processes.*8, 12"):
        train_batches(array_source(10), Sampler(10, 10, seed=0), 0, 1, process_count=4)
    with pytest.raises(UserError, match="2 is not divided by 4 processes; the nearest that are: 4"):
        eval_batches(array_source(10), 2, process_count=4)


@pytest.mark.parametrize("num_examples", [1, 7, 8, 9, 16])
@pytest.mark.parametrize("process_count", [1, 2, 4])
def test_evaluation_counts_every_example_once(array_source, num_examples, process_count):
    parts = []
    for process in range(process_count):
        with eval_batches(array_source(num_examples), 8, process_index=process, process_count=process_count) as batches:
            parts.append(list(batches))
    assert {len(part) for part in parts} == {-(-num_examples // 8)}
    seen = []
    for batches in zip(*parts, strict=True):
        for batch in batches:
            assert batch["mask"].dtype == bool
            assert {array.shape[0] for array in batch.values()} == {8 // process_count}
            assert batch["image"].shape[1:] == (2, 3, 1)
            np.testing.assert_array_equal(batch["image"][:, 0, 0, 0][batch["mask"]], batch["id"][batch["mask"]])
            assert not batch["image"][~batch["mask"]].any()
            seen += batch["id"][batch["mask"]].tolist()
    assert seen == list(range(num_examples))


def test_nothing_to_evaluate_is_no_batch(array_source):
    assert _ids(eval_batches(array_source(0), 8)) == []


def test_images_of_different_sizes_are_refused(ragged_source):
    batches = train_batches(ragged_source(10), Sampler(10, 4, seed=0), 0, 1, num_threads=0)
    with pytest.raises(UserError, match=r"differ in size \(4×4 and 4×5\): set image_size"):
        next(batches)
    batches.close()


def test_as_arrays_reads_all_in_row_order(array_source):
    arrays = as_arrays(array_source(300))
    assert nbytes(array_source(300)) == arrays["image"].nbytes == 300 * 6
    np.testing.assert_array_equal(arrays["id"], np.arange(300))
    np.testing.assert_array_equal(arrays["label"], np.arange(300) % 2)
    np.testing.assert_array_equal(arrays["image"][:, 1, 2, 0], np.arange(300) % 256)


def test_mixed_sizes_cannot_be_resident(ragged_source):
    source = ragged_source(4, (None, 4, 1))
    assert nbytes(source) == float("inf")
    with pytest.raises(UserError, match="image_size"):
        as_arrays(source)


def test_stack_keeps_further_features():
    examples = [{"image": np.zeros((1, 1, 1), np.uint8), "probability": np.float32(p)} for p in (0.25, 0.5)]
    np.testing.assert_array_equal(stack(examples)["probability"], np.float32([0.25, 0.5]))
