"""Images compared by their objects of the same class, against the definition."""

import itertools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.selection import category_diverse, image_distances

IMAGES, OBJECTS, DIM, CLASSES = 7, 4, 3, 2


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    present = rng.random((IMAGES, OBJECTS)) < 0.6
    present[0] = present[1] = False  # two images without an object
    present[2] = [True, False, False, False]
    return (
        rng.normal(0, 1, (IMAGES, OBJECTS, DIM)).astype(np.float32),
        rng.integers(0, CLASSES, (IMAGES, OBJECTS)),
        rng.uniform(0.1, 1, (IMAGES, OBJECTS)).astype(np.float32),
        present,
    )


def one_way(a: int, b: int, features, classes, scores, present) -> float:
    """As the paper has it, object by object."""
    if not present[a].any():
        return 2.0 if present[b].any() else 0.0
    total = weights = 0.0
    for i in np.flatnonzero(present[a]):
        nearest = 2.0
        for j in np.flatnonzero(present[b] & (classes[b] == classes[a, i])):
            u, v = features[a, i], features[b, j]
            nearest = min(nearest, 1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v))
        total += scores[a, i] * nearest
        weights += scores[a, i]
    return total / weights


def test_distances_are_those_of_the_definition():
    given = drawn()
    expected = [[(one_way(a, b, *given) + one_way(b, a, *given)) / 2 for b in range(IMAGES)] for a in range(IMAGES)]
    found = image_distances(*map(jnp.asarray, given))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-6)
    assert found[0, 1] == 0  # nothing and nothing
    assert found[0, 2] == 2


def test_how_long_features_are_does_not_matter():
    features, *rest = drawn()
    lengths = np.float32([1e-3, 1, 100, 1e3])[None, :, None]
    np.testing.assert_allclose(image_distances(lengths * features, *rest), image_distances(features, *rest), atol=1e-5)


def test_of_objects_that_count_for_nothing_none_is_there():
    """From them it is as far as from an image without any; to them it is what it was."""
    features, classes, scores, present = drawn()
    scores[2] = 0
    given = features, classes, scores, present
    found = np.asarray(image_distances(*given))
    expected = [(2 * present[b].any() + one_way(b, 2, *given)) / 2 for b in range(IMAGES) if b != 2]
    np.testing.assert_allclose(np.delete(found[2], 2), expected, atol=1e-5)


@pytest.mark.parametrize("wrong", range(4))
def test_features_classes_scores_and_presence_are_of_each_object(wrong):
    given = [x[:, :1] if i == wrong else x for i, x in enumerate(drawn())]
    with pytest.raises(AssertionError):
        image_distances(*given)


def test_what_is_padding_does_not_matter():
    features, classes, scores, present = drawn()
    other = np.where(present[..., None], features, 9.0), np.where(present, classes, 1), np.where(present, scores, 5.0)
    np.testing.assert_array_equal(image_distances(*other, present), image_distances(features, classes, scores, present))


def test_one_is_picked_of_each_kind_of_image():
    """Twelve images of three kinds: one class each, or two directions of one class."""
    kinds = [(0, [1.0, 0, 0]), (1, [1.0, 0, 0]), (0, [0, 1.0, 0])]
    rng = np.random.default_rng(0)
    classes = np.array([[kinds[i % 3][0]] for i in range(12)])
    features = np.array([[np.array(kinds[i % 3][1]) + rng.normal(0, 0.01, 3)] for i in range(12)])
    ones = np.ones((12, 1))
    for seed in range(3):
        picked = np.asarray(category_diverse(jax.random.key(seed), features, classes, ones, ones.astype(bool), 3))
        assert sorted(i % 3 for i in picked) == [0, 1, 2]


def turned(degrees):
    """Images of one object, whose features point into these directions."""
    angles, ones = np.radians(degrees), np.ones((len(degrees), 1))
    features = np.stack([np.cos(angles), np.sin(angles)], -1)[:, None]
    return features, np.zeros(ones.shape, int), ones, ones.astype(bool)


def settled(medoids, distances):
    """Of four images three are medoids; the fourth joins the nearest, and one of the two is the medoid."""
    for _ in range(9):
        (left,) = {0, 1, 2, 3} - medoids
        joined = min(medoids, key=lambda medoid: distances[medoid, left])
        two = sorted((joined, left))
        medoids = medoids - {joined} | {two[distances[np.ix_(two, two)].sum(0).argmin()]}  # as sums are rounded
    return tuple(sorted(medoids))


def test_the_first_medoids_are_drawn_by_squared_distances():
    given = turned([0, 30, 170, 130])
    distances = np.asarray(image_distances(*given))
    wanted = Counter()
    for first, second, third in itertools.permutations(range(4), 3):
        by_one, by_two = distances[first] ** 2, np.minimum(distances[first], distances[second]) ** 2
        share = 1 / 4 * by_one[second] / by_one.sum() * by_two[third] / by_two.sum()
        wanted[settled({first, second, third}, distances)] += share
    keys = jax.random.split(jax.random.key(0), 600)
    found = Counter(tuple(sorted(category_diverse(key, *given, 3).tolist())) for key in keys)
    assert len(wanted) >= 2
    for medoids, share in wanted.items():
        assert abs(found[medoids] / 600 - share) < 4 * (share * (1 - share) / 600) ** 0.5


@pytest.mark.parametrize("seed", range(3))
def test_each_is_the_medoid_of_those_that_are_nearest_to_it(seed):
    given = turned(np.random.default_rng(seed).uniform(0, 180, 40))
    distances = np.asarray(image_distances(*given))
    picked = np.asarray(category_diverse(jax.random.key(seed), *given, 5))
    cluster = distances[picked].argmin(0)
    for own, medoid in enumerate(picked):
        members = np.flatnonzero(cluster == own)
        sums = distances[np.ix_(members, members)].sum(0)
        assert sums[members.tolist().index(medoid)] == sums.min()


def test_as_many_as_asked_for_even_of_images_that_are_alike():
    shape = (6, 2)
    same = np.ones((*shape, 3)), np.zeros(shape, int), np.ones(shape), np.ones(shape, bool)
    picked = np.asarray(category_diverse(jax.random.key(0), *same, 4))
    assert len(set(picked.tolist())) == 4
    empty = (*same[:3], np.zeros(shape, bool))
    assert len(set(np.asarray(category_diverse(jax.random.key(1), *empty, 6)).tolist())) == 6
    with pytest.raises(UserError, match="k=7"):
        category_diverse(jax.random.key(0), *same, 7)
