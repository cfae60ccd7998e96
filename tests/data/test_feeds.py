"""What training draws, by step: from one set or several, by stage, paced by difficulty, for several networks."""

import dataclasses
import itertools

import numpy as np
import pytest
import skimage.data
from PIL import Image

from effjax.curricula import pacing
from effjax.data.base import Subset, labelled_images
from effjax.data.decode import decode_image
from effjax.data.feeds import Feed, ResidentFeed, StreamFeed, fold_of
from effjax.data.joined import JoinedSource
from effjax.data.noise import noisy_labels
from effjax.data.paced import Pace
from effjax.data.photo_crops import PhotoCrops
from effjax.data.sampler import PacedSampler, RowSampler, Sampler
from effjax.data.sources import load
from effjax.errors import UserError
from effjax.steps import Together


def ids_of(feed, settings, seeds, start, stop, length=2) -> np.ndarray:
    """The ids of steps, ``[steps, (members,) B]``, by way of rows or of images that were read."""
    blocks = list(feed.blocks(settings, seeds, start, stop, length))
    if "row" in blocks[0]:
        return np.concatenate([feed.resident["id"][block["row"]] for block in blocks])
    return np.concatenate([block["id"] for block in blocks])


def pace(kind="linear", order="curriculum", difficulty=None, total=100, **options) -> Pace:
    return Pace(pacing(kind, **options), order, total, difficulty)


@pytest.fixture
def photos(tmp_path):
    """A folder of eight JPEGs, 150×120, opened at 40 pixels."""
    image = Image.fromarray(skimage.data.chelsea())
    for label, index in itertools.product("ab", range(4)):
        path = tmp_path / "train" / label
        path.mkdir(parents=True, exist_ok=True)
        image.crop((30 * index, 0, 30 * index + 150, 120)).save(path / f"{index}.jpg")
    return load(f"folder:{tmp_path}", "train", image_size=40)


def test_smaller_stages_move_fewer_bytes(photos):
    feed = StreamFeed({"train": photos}, 4, resize=True)
    for size in (10, 20, 40):
        settings = {"image_size": size}
        (block,) = feed.blocks(settings, 0, 0, 2, 2)
        assert block["image"].shape == feed.block_example(2, settings)["image"].shape == (2, 4, size, size, 3)
        assert feed.example(settings)["image"].shape == (4, size, size, 3)
        assert block["image"].nbytes == 2 * 4 * 3 * size**2
        first = int(block["id"][1, 2])
        file = photos.root / photos.paths[first]
        np.testing.assert_array_equal(block["image"][1, 2], decode_image(file, 3, size))
    np.testing.assert_array_equal(*(ids_of(feed, {"image_size": size}, 3, 0, 6) for size in (10, 40)))
    assert feed.example()["image"].shape == (4, 40, 40, 3)  # a plan without sizes
    whole = StreamFeed({"train": photos}, 4)
    assert whole.block_example(2, {"image_size": 10})["image"].shape == (2, 4, 40, 40, 3)  # reduced on the device


def test_parts_and_joined_sets_follow_the_size(photos):
    half = Subset(photos, [5, 1, 2])
    half.info = dataclasses.replace(half.info, split="train[some]")
    feed = StreamFeed({"train": half, "more": photos}, 4, resize=True)
    (block,) = feed.blocks({"image_size": 16, "data": "more+train"}, 0, 0, 2, 2)
    assert block["image"].shape == (2, 4, 16, 16, 3)
    small = half.at_size(16)
    assert small.info == dataclasses.replace(half.info, features=labelled_images((16, 16, 3)))
    np.testing.assert_array_equal(small.ids(), half.ids())
    np.testing.assert_array_equal(small[0]["image"], photos.at_size(16)[5]["image"])
    assert photos.info.image_shape == photos[0]["image"].shape == (40, 40, 3)  # the source itself has not changed
    np.testing.assert_array_equal(
        noisy_labels(photos, 0.5).at_size(16).column("label"), noisy_labels(photos, 0.5).column("label")
    )


@pytest.mark.parametrize("kind", [ResidentFeed, StreamFeed])
def test_a_stage_names_the_sets_it_draws_from(array_source, kind):
    feed = kind({"easy": array_source(4), "train": Subset(array_source(20), [7, 3, 9])}, 4)
    # The training set comes first and keeps its ids, of a whole split of 20; the other set's go on from there.
    assert feed.joined.ids().tolist() == [7, 3, 9, 20, 21, 22, 23]
    expected = {"train": {3, 7, 9}, "easy": {20, 21, 22, 23}, "easy+train": {3, 7, 9, 20, 21, 22, 23}}
    for data, ids in expected.items():
        drawn = ids_of(feed, {"data": data}, 1, 0, len(ids), 1)
        assert drawn.shape == (len(ids), 4)
        epochs = drawn.reshape(4, len(ids))
        assert {frozenset(epoch) for epoch in epochs.tolist()} == {frozenset(ids)}
    np.testing.assert_array_equal(ids_of(feed, {}, 1, 0, 4), ids_of(feed, {"data": "train"}, 1, 0, 4))
    with pytest.raises(UserError, match=r"plans.data: no source 'eazy'; .*did you mean 'easy'\?"):
        feed.rows({"data": "train+eazy"})


def test_both_kinds_draw_the_same_and_go_on_anywhere(array_source):
    sources = {"train": array_source(10), "more": array_source(3)}
    resident, stream = ResidentFeed(sources, 4), StreamFeed(sources, 4)
    settings = {"data": "train+more"}
    whole = ids_of(resident, settings, 5, 0, 12)
    np.testing.assert_array_equal(ids_of(stream, settings, 5, 0, 12, 3), whole)
    np.testing.assert_array_equal(ids_of(stream, settings, 5, 7, 12, 5), whole[7:])
    np.testing.assert_array_equal(ids_of(resident, settings, 5, 10, 12), whole[10:])
    assert not np.array_equal(ids_of(resident, settings, 6, 0, 12), whole)


def test_processes_share_each_batch(array_source):
    sources = {"train": array_source(10)}
    whole = ids_of(ResidentFeed(sources, 6), {}, 2, 0, 4)
    for kind in (ResidentFeed, StreamFeed):
        parts = [ids_of(kind(sources, 6, process_index=i, process_count=3), {}, 2, 0, 4) for i in range(3)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_only_asked_for_features_travel(array_source):
    feed = StreamFeed({"train": array_source(10)}, 4, features=("image", "id"))
    assert set(feed.example()) == set(next(feed.blocks({}, 0, 0, 1, 1))) == {"image", "id"}
    with pytest.raises(UserError, match=r"'memory' \(train\) has no feature 'lable'.*did you mean 'label'"):
        Feed({"train": array_source(10)}, 4, features=("image", "lable"))


def test_joined_rows_and_labels(array_source):
    joined = JoinedSource([array_source(3), Subset(array_source(10), [8, 1])])
    assert len(joined) == joined.info.num_examples == 5
    assert joined.num_ids == 13
    assert [int(example["id"]) for example in joined] == joined.ids().tolist() == [0, 1, 2, 11, 4]
    assert [int(example["label"]) for example in joined] == joined.column("label").tolist() == [0, 1, 0, 0, 1]
    assert {example["id"].dtype for example in joined} == {np.dtype(np.int32)}
    assert joined.rows_of(1).tolist() == [3, 4]


def test_sets_that_do_not_fit_are_not_joined(array_source):
    with pytest.raises(UserError, match=r"has image_shape \(4, 4, 1\), 'memory' has \(2, 3, 1\)"):
        JoinedSource([array_source(3), array_source(3, (4, 4, 1))])
    other = array_source(3)
    other.info = dataclasses.replace(other.info, class_names=("a", "b"))
    with pytest.raises(UserError, match="class_names"):
        JoinedSource([array_source(3), other])


def test_several_networks_draw_as_each_would_alone(array_source):
    sources, seeds = {"train": array_source(10)}, (4, 7, 4)
    feed = ResidentFeed(sources, 3, members=Together(3, "seeds"))
    assert feed.example()["image"].shape == (3, 3, 2, 3, 1)
    assert feed.block_example(2)["row"].shape == (2, 3, 3)
    together = ids_of(feed, {}, seeds, 0, 8)
    for member, seed in enumerate(seeds):
        np.testing.assert_array_equal(together[:, member], ids_of(ResidentFeed(sources, 3), {}, seed, 0, 8))
    with pytest.raises(UserError, match=r"raise data.on_device_mib"):
        StreamFeed(sources, 3, members=Together(3, "seeds"))


def test_each_fold_leaves_out_its_own_part(array_source):
    feed = ResidentFeed({"train": Subset(array_source(30), np.arange(29, 5, -1))}, 4, members=Together(3, "folds"))
    drawn = ids_of(feed, {}, (1, 1, 1), 0, 12)
    for member in range(3):
        seen = set(drawn[:, member].ravel().tolist())
        assert seen == {i for i in range(6, 30) if i % 3 != member}
    assert fold_of(np.arange(6), 3).tolist() == [0, 1, 2, 0, 1, 2]


def test_among_draws_its_rows_only():
    chosen = np.array([30, 10, 20])
    among = RowSampler(chosen, Sampler(3, 2, seed=1))
    stream = np.concatenate([among.rows(step) for step in range(6)]).reshape(-1, 3)
    np.testing.assert_array_equal(np.sort(stream, axis=1), np.tile([10, 20, 30], (4, 1)))
    np.testing.assert_array_equal(stream.ravel(), chosen[np.concatenate([among.sampler.rows(t) for t in range(6)])])
    assert among.batch_size == 2


def test_within_a_level_every_epoch_visits_its_rows_once():
    ranking = np.array([9, 2, 7, 4, 0, 5])
    sampler = PacedSampler(ranking, ((0, 2), (5, 3), (11, 6)), batch_size=2, seed=3)
    for start, stop, size in ((0, 5, 2), (5, 11, 3), (11, 26, 6)):
        stream = np.concatenate([sampler.rows(step) for step in range(start, stop)])
        epochs = stream[: len(stream) // size * size].reshape(-1, size)
        np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.sort(ranking[:size]), (len(epochs), 1)))
    late = sampler.rows(20)
    for step in (3, 25, 7, 0):
        sampler.rows(step)
    np.testing.assert_array_equal(sampler.rows(20), late)
    np.testing.assert_array_equal(PacedSampler(ranking, sampler.levels, 2, 3).rows(20), late)


def test_levels_have_orders_of_their_own():
    rows = np.arange(100)
    small, large = (PacedSampler(rows, ((0, 50), (1, 100)), 100, seed=3).rows(step) for step in range(2))
    # Drawn from one stream, the first epoch of the larger set would visit the smaller one's rows in its order.
    assert not np.array_equal(large[large < 50], small[:50])


@pytest.mark.parametrize(("order", "first"), [("curriculum", [0, 1, 2, 3]), ("anti-curriculum", [9, 8, 7, 6])])
def test_the_easy_or_the_hard_come_first(array_source, order, first):
    difficulty = np.arange(10.0)
    feed = ResidentFeed({"train": array_source(10)}, 2, pace=pace("step", order, difficulty, start=0.4, full_at=0.5))
    drawn = ids_of(feed, {}, 1, 0, 100)
    assert set(drawn[:50].ravel().tolist()) == set(first)
    assert set(drawn[50:].ravel().tolist()) == set(range(10))


def test_difficulty_is_looked_up_by_global_id(array_source):
    difficulty = np.zeros(30)
    difficulty[[25, 3, 11]] = 3, 1, 2
    source = Subset(array_source(30), [25, 3, 11])
    feed = ResidentFeed({"train": source}, 1, pace=pace("step", difficulty=difficulty, start=0.34, full_at=1))
    assert set(ids_of(feed, {}, 0, 0, 10).ravel().tolist()) == {3}


def test_the_share_grows_as_the_pacing_function_says():
    rows = np.arange(100, 300)
    sampler = pace("linear", difficulty=np.arange(200.0), start=0.2, full_at=0.8).sampler(rows, np.arange(200), 4, 0)
    np.testing.assert_array_equal(sampler.ranking, rows)
    assert sampler.levels[0] == (0, 40)
    assert dict(sampler.levels)[40] == 40 + 80  # half-way to full
    assert sampler.levels[-1] == (80, 200)
    starts, sizes = zip(*sampler.levels, strict=True)
    assert (list(starts), list(sizes)) == (sorted(set(starts)), sorted(set(sizes)))


def test_a_random_order_is_the_run_s_own_and_needs_no_difficulty():
    rows = np.arange(50)
    rankings = [pace(order="random").sampler(rows, rows, 4, seed).ranking for seed in (0, 0, 1)]
    np.testing.assert_array_equal(np.sort(rankings[0]), rows)
    np.testing.assert_array_equal(rankings[0], rankings[1])
    assert not np.array_equal(rankings[0], rankings[2])
    with pytest.raises(UserError, match=r"pacing.order='randon'; allowed: .*did you mean 'random'"):
        pace(order="randon")


def test_equally_hard_examples_are_in_no_order():
    rows = np.arange(1000)
    ranking = pace(difficulty=np.repeat([0.0, 1.0], 500)).sampler(rows, rows, 4, 0).ranking
    assert set(ranking[:500].tolist()) == set(range(500))
    assert 200 < ranking[:250].mean() < 300  # 249.5 ± 9


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.9])
def test_just_so_many_labels_are_wrong(array_source, share):
    source = array_source(40)
    source.info = dataclasses.replace(source.info, class_names=tuple("abcde"))
    noisy = noisy_labels(source, share)
    assert (noisy.column("label") != source.column("label")).sum() == round(share * 40)
    assert noisy.column("label").dtype == np.int32
    np.testing.assert_array_equal(noisy.column("label"), noisy_labels(source, share).column("label"))  # in every run
    read = [noisy[row] for row in range(40)]
    assert [int(example["label"]) for example in read] == noisy.column("label").tolist()
    assert [int(example["id"]) for example in read] == list(range(40))
    assert 0 <= noisy.column("label").min() <= noisy.column("label").max() < 5


def test_wrong_labels_are_drawn_evenly_from_the_other_classes(array_source):
    source = array_source(10_000)
    source.info = dataclasses.replace(source.info, class_names=tuple("abcde"))
    noisy, true = noisy_labels(source, 0.8).column("label"), source.column("label")
    offsets = np.bincount((noisy - true)[noisy != true] % 5, minlength=5)
    assert offsets[0] == 0
    assert np.abs(offsets[1:] - 2000).max() < 5 * np.sqrt(2000)
    assert abs((noisy != true)[:5000].sum() - 4000) < 5 * np.sqrt(1000)  # not all at one end


def test_a_part_has_the_noise_of_the_whole(array_source):
    source, ids = array_source(40), [30, 2, 17, 8, 39]
    part = noisy_labels(Subset(source, ids), 0.5)
    np.testing.assert_array_equal(part.column("label"), noisy_labels(source, 0.5).column("label")[ids])
    assert [int(example["id"]) for example in part] == ids
    assert [int(example["label"]) for example in part] == part.column("label").tolist()


@pytest.mark.parametrize("share", [-0.1, 1.0, True, "0.2"])
def test_impossible_shares_are_refused(array_source, share):
    with pytest.raises(UserError, match=r"data.label_noise=.* must be a share, from 0 to below 1"):
        noisy_labels(array_source(4), share)


@pytest.mark.parametrize("kind", [ResidentFeed, StreamFeed])
def test_examples_that_come_several_times_in_a_step(array_source, kind):
    once, thrice = kind({"train": array_source(10)}, 4), kind({"train": array_source(10)}, 12, repeats=3)
    ids = ids_of(thrice, {}, 5, 0, 6)
    np.testing.assert_array_equal(ids, np.tile(ids_of(once, {}, 5, 0, 6), (1, 3)))
    np.testing.assert_array_equal(ids_of(thrice, {}, 5, 2, 6), ids[2:])
    (block,) = thrice.blocks({}, 5, 0, 2, 2)
    assert block["copy"].tolist() == [[0] * 4 + [1] * 4 + [2] * 4] * 2
    assert thrice.example()["copy"].shape == (12,)
    assert thrice.block_example(2)["copy"].shape == block["copy"].shape
    parts = [
        next(kind({"train": array_source(10)}, 12, i, 2, repeats=3).blocks({}, 5, 0, 2, 2))["copy"] for i in range(2)
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), block["copy"])
    assert "copy" not in next(once.blocks({}, 5, 0, 2, 2))
    paced = kind({"train": array_source(10)}, 12, repeats=3, pace=pace(order="random"))
    np.testing.assert_array_equal(
        ids_of(paced, {}, 5, 0, 4).reshape(4, 3, 4)[:, 1:], ids_of(paced, {}, 5, 0, 4).reshape(4, 3, 4)[:, :2]
    )


def test_each_copy_of_a_photo_is_cut_anew(photos):
    feed = StreamFeed({"train": photos}, 6, repeats=3, crops=PhotoCrops(0.1))
    (block,) = feed.blocks({}, 5, 0, 2, 2)
    assert len({image.tobytes() for image in block["image"].reshape(12, -1)}) == 12
    of_second = PhotoCrops(0.1, seed=5).of_step(1, copy=2)
    np.testing.assert_array_equal(block["image"][1, 5], photos.cut(int(block["id"][1, 5]), of_second)["image"])
