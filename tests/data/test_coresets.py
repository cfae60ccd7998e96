"""Rankings by difficulty, classes in turn, and what a coreset keeps."""

import itertools

import numpy as np
import pytest

from effjax.data.coreset import Coreset, kept
from effjax.data.feeds import ResidentFeed, StreamFeed
from effjax.data.paced import Pace
from effjax.data.ranking import at_random, by_difficulty, in_turn, places_in_class
from effjax.errors import UserError
from effjax.steps import Together

RNG = np.random.default_rng(5)
LABELS = RNG.choice(3, 60, p=(0.6, 0.3, 0.1))
DIFFICULTY = RNG.normal(size=60)


def one_by_one(ranking, labels):
    """Wu's order, as one would deal cards: round after round, the next of each class, in the order of the ranking."""
    left, order = list(ranking), []
    while left:
        seen = set()
        for position in list(left):
            if labels[position] not in seen:
                seen.add(labels[position])
                order.append(position)
                left.remove(position)
    return order


def test_places_in_a_class():
    assert places_in_class(np.array([4, 7, 4, 4, 7])).tolist() == [0, 0, 1, 2, 1]
    assert places_in_class(np.array([], int)).tolist() == []


def test_classes_take_turns_as_in_the_published_code():
    ranking = by_difficulty(DIFFICULTY, 0)
    assert in_turn(ranking, LABELS).tolist() == one_by_one(ranking, LABELS)


def test_equal_examples_are_ordered_by_lot():
    orders = [by_difficulty(np.zeros(20), seed).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] == at_random(20, 0).tolist()
    assert by_difficulty(np.array([3.0, 1.0, 2.0]), 0, hardest_first=True).tolist() == [0, 2, 1]
    few = np.arange(1000) % 3  # whose equals are many
    for hardest_first, levels in ((False, (0, 1, 2)), (True, (2, 1, 0))):
        drawn = [position for level in levels for position in at_random(1000, 5) if few[position] == level]
        assert by_difficulty(few, 5, hardest_first=hardest_first).tolist() == drawn


@pytest.mark.parametrize(("part", "share"), [("hardest", 0.5), ("easiest", 0.3), ("middle", 0.5), ("random", 0.2)])
def test_a_coreset_keeps_its_part(part, share):
    plain = Coreset(share, part, False, DIFFICULTY).chosen(np.arange(60), None, 7)
    assert len(plain) == round(60 * share)
    assert (np.diff(plain) > 0).all()
    ranks = np.argsort(np.argsort(DIFFICULTY))[plain]
    if part == "middle":
        assert sorted(ranks) == list(range(15, 45))
    elif part != "random":
        assert set(ranks) == set(range(60)[-len(plain) :] if part == "hardest" else range(len(plain)))


@pytest.mark.parametrize("part", ["hardest", "easiest", "middle", "random"])
def test_a_balanced_coreset_has_every_class_share(part):
    found = Coreset(0.5, part, True, DIFFICULTY).chosen(np.arange(60), LABELS, 7)
    assert len(found) == 30
    for label in range(3):
        assert abs((LABELS[found] == label).sum() - (label == LABELS).sum() / 2) <= 1
        own = np.flatnonzero(label == LABELS)
        in_class = np.argsort(np.argsort(DIFFICULTY[own]))[np.isin(own, found)]
        if part in ("hardest", "easiest"):  # of each class, too, they are the hardest
            assert set(in_class) == set(
                range(len(own))[-len(in_class) :] if part == "hardest" else range(len(in_class))
            )


def test_of_few_that_are_kept_the_frequent_classes_have_most():
    """By rounding each class's share: 1.8, 0.9 and 0.3 of three."""
    labels = np.repeat([2, 0, 1], [36, 18, 6])
    for part in ("hardest", "easiest", "random"):
        found = Coreset(0.05, part, True, DIFFICULTY).chosen(np.arange(60), labels, 7)
        assert np.bincount(labels[found], minlength=3).tolist() == [1, 0, 2]


def test_ids_say_what_is_difficult_wherever_an_example_stands():
    ids = np.array([9, 2, 30, 11])
    scores = np.full(40, np.inf)
    scores[ids] = [0.1, 0.9, 0.5, 0.7]
    assert ids[Coreset(0.5, "hardest", False, scores).chosen(ids, None, 0)].tolist() == [2, 11]
    assert (kept(5, 0.5), kept(3, 0.01), kept(10, 1.0)) == (2, 1, 10)
    with pytest.raises(UserError, match=r"coreset.part='hard'.*did you mean 'hardest'"):
        Coreset(0.5, "hard")


@pytest.mark.parametrize("kind", [ResidentFeed, StreamFeed])
def test_a_feed_draws_from_its_coreset_alone(array_source, kind):
    scores = np.arange(20.0)
    feed = kind({"train": array_source(20)}, 5, coreset=Coreset(0.5, "easiest", False, scores))
    drawn = np.concatenate([feed.joined.ids()[feed.sampler({}, 1).rows(step)] for step in range(4)])
    assert [sorted(epoch) for epoch in np.split(drawn, 2)] == [list(range(10))] * 2  # every epoch is a pass over it


def test_a_pace_and_a_coreset_go_together(array_source):
    scores = np.arange(20.0)
    pace = Pace(lambda progress: 0.2, "curriculum", 10, scores, balanced=True)
    coreset = Coreset(0.5, "hardest", False, scores)
    feed = ResidentFeed({"train": array_source(20)}, 2, pace=pace, coreset=coreset)
    drawn = {int(id_) for step in range(10) for id_ in feed.joined.ids()[feed.sampler({}, 1).rows(step)]}
    labels = feed.joined.column("label")
    assert len(drawn) == len({labels[id_] for id_ in drawn}) == 2  # the easiest of two classes
    assert 10 in drawn
    assert drawn < set(range(10, 20))


def test_each_network_draws_its_own_random_part(array_source):
    feed = ResidentFeed(
        {"train": array_source(20)}, 5, coreset=Coreset(0.5, "random", False), members=Together(2, "seeds")
    )
    parts = [{int(row) for step in range(2) for row in feed.sampler({}, seed).rows(step)} for seed in (0, 1)]
    assert all(len(part) == 10 for part in parts)
    assert parts[0] != parts[1]


@pytest.mark.parametrize(("candidates", "count"), list(itertools.product((1, 2, 2.5), (1, 2))))
def test_a_stage_with_candidates_draws_as_many(array_source, candidates, count):
    settings, size = {"candidates": candidates}, round(4 * candidates)
    whole = ResidentFeed({"train": array_source(10)}, 4)
    (block,) = whole.blocks(settings, 3, 0, 2, 2)
    assert block["row"].shape == (2, size)
    assert whole.block_example(2, settings)["row"].shape == (2, size)
    assert whole.example(settings)["label"].shape == (size,)
    parts = []
    for kind in (ResidentFeed, StreamFeed):
        feeds = [kind({"train": array_source(10)}, 4, process_index=i, process_count=count) for i in range(count)]
        blocks = [next(feed.blocks(settings, 3, 0, 2, 2)) for feed in feeds]
        ids = [b["id"] if "id" in b else feed.resident["id"][b["row"]] for feed, b in zip(feeds, blocks, strict=True)]
        parts.append(np.concatenate(ids, axis=1))
    np.testing.assert_array_equal(*parts)
    np.testing.assert_array_equal(parts[0], whole.resident["id"][block["row"]])
