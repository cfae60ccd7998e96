"""The replay buffer: what a step shows again was decoded before, as often as it should be, whoever reads it."""

import collections

import numpy as np
import pytest

from effjax.data.feeds import ResidentFeed, StreamFeed
from effjax.data.photo_crops import PhotoCrops
from effjax.data.replay import Replay
from effjax.errors import UserError

TIMES, BATCHES, SIZE = 4, 6, 24
SETTINGS = {"replay": (TIMES, BATCHES)}


def feed_of(source, size=SIZE, **options):
    return StreamFeed({"train": source}, size, **options)


def steps(feed, start=0, stop=20, length=1, seed=3, settings=SETTINGS):
    found = []
    for block in feed.blocks(settings, seed, start, stop, length):
        found += [{name: array[i] for name, array in block.items()} for i in range(length)]
    return found


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_what_is_shown_again_is_what_its_step_has_decoded(array_source):
    source = array_source(50)
    feed, fresh = feed_of(source, emptied=(0, 13)), feed_of(source, SIZE // TIMES)
    once = steps(fresh, settings={})
    for step, batch in enumerate(steps(feed)):
        drawn = batch["drawn_at"].reshape(TIMES, -1)
        np.testing.assert_array_equal(drawn[0], step)
        oldest = max(13 if step >= 13 else 0, step - BATCHES + 1)
        assert oldest <= drawn.min() <= drawn.max() <= step
        np.testing.assert_array_equal(batch["copy"], np.repeat(np.arange(TIMES), SIZE // TIMES))
        for place, at in enumerate(batch["drawn_at"]):
            for name in ("image", "label", "id"):
                np.testing.assert_array_equal(batch[name][place], once[at][name][place % (SIZE // TIMES)])
    # By hand: where the buffer holds this step alone, every example comes in all rounds.
    for step in (0, 13):
        batch = steps(feed, step, step + 1)[0]
        np.testing.assert_array_equal(batch["id"], np.tile(once[step]["id"], TIMES))


def test_what_is_shown_again_depends_on_the_seed_and_the_step():
    replay = Replay(TIMES, BATCHES)
    drawn = [
        replay.drawn_at(seed, step, 16) - replay.oldest(step) for seed, step in ((7, 20), (7, 20), (8, 20), (7, 21))
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    assert (drawn[0] != drawn[3]).any()


def test_an_example_is_shown_so_often_on_average_and_from_anywhere_in_the_buffer():
    """Against the published code's bookkeeping: a list of what is decoded, of which some are drawn each step."""
    replay, count, total = Replay(TIMES, BATCHES), 8, 3000
    ages, shown = collections.Counter(), np.zeros((total, count), int)
    for step in range(total):
        at = replay.drawn_at(7, step, count)
        assert at.shape == (TIMES - 1, count)
        shown[step] += 1
        np.add.at(shown, (at, np.broadcast_to(np.arange(count), at.shape)), 1)
        ages.update((step - at).ravel().tolist() if step >= BATCHES else [])
    settled = shown[BATCHES:-BATCHES]
    # Their list: each step draws, with replacement, TIMES - 1 as many as it decodes, from BATCHES steps' examples.
    draw, theirs = np.random.default_rng(0), np.zeros(total * count, int)
    for step in range(total):
        low = max(0, step - BATCHES + 1) * count
        theirs[step * count : (step + 1) * count] += 1
        np.add.at(theirs, draw.integers(low, (step + 1) * count, (TIMES - 1) * count), 1)
    theirs = theirs[BATCHES * count : -BATCHES * count]
    assert settled.mean() == pytest.approx(TIMES, abs=0.03)
    assert theirs.mean() == pytest.approx(TIMES, abs=0.03)
    histogram, published = (np.bincount(x.ravel(), minlength=9)[1:9] / x.size for x in (settled, theirs))
    np.testing.assert_allclose(histogram, published, atol=0.03)
    assert set(ages) == set(range(BATCHES))
    share = np.array([ages[age] for age in range(BATCHES)]) / sum(ages.values())
    np.testing.assert_allclose(share, 1 / BATCHES, atol=0.01)


def test_a_run_goes_on_with_the_same_bits_whoever_reads(array_source):
    source = array_source(50)
    whole = steps(feed_of(source))
    for start in (1, 5, 6, 12, 19):
        same(steps(feed_of(source), start), whole[start:])
    same(steps(feed_of(source), length=4), whole)
    same(steps(feed_of(source, num_threads=0), 7), whole[7:])
    same(steps(feed_of(source, num_workers=1, num_threads=1), 9), whole[9:])
    assert not np.array_equal(steps(feed_of(source), seed=4)[9]["id"], whole[9]["id"])


def test_processes_show_together_what_one_shows(array_source):
    source = array_source(50)
    halves = [steps(feed_of(source, process_index=index, process_count=2)) for index in range(2)]
    for batch, one, other in zip(steps(feed_of(source)), *halves, strict=True):
        whole, parts = (
            sorted(zip(x["copy"].tolist(), x["id"].tolist(), x["drawn_at"].tolist(), strict=True))
            for x in (batch, {name: np.concatenate([one[name], other[name]]) for name in one})
        )
        assert whole == parts


def test_only_a_share_is_decoded(array_source):
    class Counting(array_source):
        read = 0

        def __getitem__(self, row):
            Counting.read += 1
            return super().__getitem__(row)

    source = Counting(50)
    feed = feed_of(source, num_threads=0)
    feed.example(SETTINGS)
    Counting.read = 0
    steps(feed)
    assert Counting.read == 20 * SIZE // TIMES
    Counting.read = 0
    steps(feed, 10)
    assert Counting.read == (10 + BATCHES - 1) * SIZE // TIMES  # what lies in the buffer is decoded again
    assert (feed.drawn(SETTINGS), feed.decoded(SETTINGS), feed.decoded({}), feed.decoded({"replay": 1})) == (
        24,
        6,
        24,
        24,
    )


def test_crops_of_photos_come_again_and_shapes_are_as_said(array_source):
    source = array_source(50)
    source.cut = lambda row, crops: {**source[row], "label": np.int32(1000 * crops.step + row)}
    batches = steps(feed_of(source, crops=PhotoCrops(0.1)))
    for batch in batches:
        np.testing.assert_array_equal(batch["label"], 1000 * batch["drawn_at"] + batch["id"])
    feed = feed_of(source)
    for example in (feed.example(SETTINGS), {n: x[0] for n, x in feed.block_example(2, SETTINGS).items()}):
        assert {n: (x.shape, x.dtype) for n, x in example.items()} == {
            n: (x.shape, x.dtype) for n, x in batches[0].items()
        }
    assert "drawn_at" not in feed.example() | steps(feed, settings={}, stop=1)[0]
    with pytest.raises(UserError, match="batch_size 6 is not divided by 4 processes"):
        next(feed_of(source, process_count=4).blocks(SETTINGS, 0, 0, 1, 1))
    assert ResidentFeed({"train": source}, 4).decoded({}) == 4
