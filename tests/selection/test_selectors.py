"""Selectors against slow references, and what all of them promise."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import selection
from effjax.errors import UserError
from effjax.selection.k_means import k_means

N, D, C, M = 40, 6, 3, 4
RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(N, D)).astype(np.float32)
PROBS = RNG.dirichlet(np.full(C, 0.5), (M, N)).astype(np.float32)
SCORES = RNG.uniform(size=N).astype(np.float32)
CLASSES = RNG.integers(0, C, N)
KEY = jax.random.key(0)
FLAT = selection.DatasetMap(*np.full((3, N), 0.5, np.float32))

SELECTORS = {
    "top_k": lambda k: selection.top_k(SCORES, k),
    "power_batch": lambda k: selection.power_batch(KEY, SCORES, k),
    "class_balanced": lambda k: selection.class_balanced(SCORES, CLASSES, k, C),
    "random_batch": lambda k: selection.random_batch(KEY, N, k),
    "k_center_greedy": lambda k: selection.k_center_greedy(FEATURES, k),
    "badge": lambda k: selection.badge(KEY, PROBS[0], FEATURES, k),
    "batch_bald": lambda k: selection.batch_bald(KEY, PROBS, k, num_samples=30),
    "typiclust": lambda k: selection.typiclust(KEY, FEATURES, k),
}


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("k", [1, 7, N])
def test_positions_without_duplicates_the_same_every_time(name, k):
    chosen = SELECTORS[name](k)
    assert chosen.dtype == jnp.int32
    assert chosen.shape == (k,)
    assert len(set(chosen.tolist())) == k
    assert 0 <= int(chosen.min()) <= int(chosen.max()) < N
    assert chosen.tolist() == SELECTORS[name](k).tolist()


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("k", [0, N + 1, 2.0])
def test_a_number_that_cannot_be_picked_is_refused(name, k):
    with pytest.raises(UserError, match=f"k={k!r} must be a whole number from 1 to {N}"):
        SELECTORS[name](k)


POISONED = {
    "top_k": ("scores", lambda bad: selection.top_k(bad, 2)),
    "power_batch": ("scores", lambda bad: selection.power_batch(KEY, bad, 2)),
    "class_balanced": ("scores", lambda bad: selection.class_balanced(bad, CLASSES, 2, C)),
    "badge, probs": ("probs", lambda bad: selection.badge(KEY, jnp.stack([bad, bad], -1), FEATURES, 2)),
    "badge": ("features", lambda bad: selection.badge(KEY, PROBS[0], bad[:, None], 2)),
    "typiclust": ("features", lambda bad: selection.typiclust(KEY, bad[:, None], 2)),
    "k_center_greedy": ("features", lambda bad: selection.k_center_greedy(bad[:, None], 2)),
    "labelled": ("labelled", lambda bad: selection.k_center_greedy(FEATURES[:, :1], 2, bad[:, None])),
    "extend_map": ("features", lambda bad: selection.extend_map(FLAT, bad[:, None], FEATURES[:, :1])),
    "extend_map, map": ("mapped", lambda bad: selection.extend_map(FLAT._replace(correctness=bad), FEATURES, FEATURES)),
}


@pytest.mark.parametrize("name", POISONED)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(name, value):
    bad = SCORES.copy()
    bad[11] = value
    given, select = POISONED[name]
    with pytest.raises(UserError, match=rf"{given}: \d values are not finite, the first at \[(2, )?11"):
        select(bad)


OF_OTHER_AXES = {
    "top_k": lambda: selection.top_k(SCORES[:, None], 2),
    "power_batch": lambda: selection.power_batch(KEY, SCORES[:, None], 2),
    "class_balanced, scores": lambda: selection.class_balanced(SCORES[:, None], CLASSES[:, None], 2, C),
    "class_balanced, classes": lambda: selection.class_balanced(SCORES, CLASSES[:-1], 2, C),
    "k_center_greedy": lambda: selection.k_center_greedy(FEATURES.reshape(N, 2, 3), 2),
    "k_center_greedy, labelled": lambda: selection.k_center_greedy(FEATURES, 2, FEATURES[:3, :1]),
    "typiclust": lambda: selection.typiclust(KEY, FEATURES.reshape(N, 2, 3), 2),
    "badge, features": lambda: selection.badge(KEY, PROBS[0], FEATURES.reshape(N, 2, 3), 2),
    "badge, probs": lambda: selection.badge(KEY, PROBS[:, :1].swapaxes(0, 1).repeat(N, 0), FEATURES, 2),
    "badge, length": lambda: selection.badge(KEY, PROBS[0, :-1], FEATURES, 2),
    "batch_bald": lambda: selection.batch_bald(KEY, PROBS[0], 2),
    "dataset_map": lambda: selection.dataset_map(SCORES, SCORES > 0.5),
    "dataset_map, correct": lambda: selection.dataset_map(PROBS[..., 0], PROBS[:1, :, 0] > 0.5),
    "extend_map": lambda: selection.extend_map(FLAT, FEATURES.reshape(N, 2, 3), FEATURES.reshape(N, 2, 3)),
    "extend_map, pool": lambda: selection.extend_map(FLAT, FEATURES, FEATURES[:, :1]),
    "RunningTopK": lambda: selection.RunningTopK.empty(2).update(SCORES[:, None], CLASSES[:, None]),
    "RunningTopK, ids": lambda: selection.RunningTopK.empty(2).update(SCORES, CLASSES[:1]),
    "RunningTopK, where": lambda: selection.RunningTopK.empty(2).update(SCORES, CLASSES, where=np.ones(1, bool)),
}


@pytest.mark.parametrize("name", OF_OTHER_AXES)
def test_what_has_other_axes_is_refused(name):
    with pytest.raises(AssertionError):
        OF_OTHER_AXES[name]()


def test_power_batch_draws_by_power():
    scores, draws = np.array([1.0, 2.0, 4.0]), 4000
    picks = jax.vmap(lambda key: selection.power_batch(key, scores, 1, beta=2.0))(jax.random.split(KEY, draws))
    shares = np.bincount(picks[:, 0], minlength=3) / draws
    np.testing.assert_allclose(shares, np.array([1, 4, 16]) / 21, atol=0.03)
    with pytest.raises(UserError, match="beta=0 must be above 0"):
        selection.power_batch(KEY, scores, 1, beta=0)


def test_quotas_by_class():
    scores = np.array([9, 8, 7, 6, 5, 4, 3.0])
    classes = np.array([0, 0, 0, 0, 1, 1, 2])
    assert selection.class_balanced(scores, classes, 4, 3).tolist() == [0, 4, 6, 1]
    assert sorted(selection.class_balanced(scores, classes, 6, 3).tolist()) == [0, 1, 2, 4, 5, 6]


def greedy_centres(features, k, centres):
    """k-center by the book, in float64."""
    chosen, features = [], features.astype(np.float64)
    centres = [features[c] if np.ndim(c) == 0 else c for c in centres]
    if not centres:
        chosen = [int(np.argmin(((features - features.mean(0)) ** 2).sum(-1)))]
        centres = [features[chosen[0]]]
    while len(chosen) < k:
        nearest = np.min([((features - c) ** 2).sum(-1) for c in centres], axis=0)
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        centres.append(features[chosen[-1]])
    return chosen


def test_k_center_is_greedy():
    assert selection.k_center_greedy(FEATURES, 9).tolist() == greedy_centres(FEATURES, 9, [])
    outside = RNG.normal(size=(300, D)).astype(np.float32)  # more than a chunk
    expected = greedy_centres(FEATURES, 9, list(outside.astype(np.float64)))
    assert selection.k_center_greedy(FEATURES, 9, outside).tolist() == expected
    inside = np.array([3, 5, 8])
    expected = greedy_centres(FEATURES, 9, list(inside))
    assert selection.k_center_greedy(FEATURES, 9, inside).tolist() == expected
    assert selection.k_center_greedy(FEATURES, 9, np.zeros((0, D))).tolist() == greedy_centres(FEATURES, 9, [])


@pytest.mark.parametrize("kind", ["normal", "clusters", "whole numbers", "copies"])
@pytest.mark.parametrize("labelled", [0, 100])
def test_every_pick_of_k_center_is_the_furthest_though_few_passes_are_made(kind, labelled):
    """More picks and more examples than a pass takes in."""
    rng = np.random.default_rng(1)
    features = {
        "normal": lambda: rng.normal(size=(1500, 8)),
        "clusters": lambda: 5 * rng.normal(size=(30, 8))[rng.integers(30, size=1500)] + rng.normal(size=(1500, 8)),
        "whole numbers": lambda: rng.integers(0, 3, (1500, 5)).astype(float),
        "copies": lambda: np.repeat(rng.normal(size=(300, 8)), 5, axis=0),
    }[kind]().astype(np.float32)
    inside = rng.permutation(1500)[:labelled]
    chosen = np.asarray(selection.k_center_greedy(features, 700, inside))
    assert len({*chosen.tolist(), *inside.tolist()}) == 700 + labelled
    exact = features.astype(np.float64)
    nearest = np.full(1500, np.inf)
    free = np.ones(1500, bool)
    free[inside] = False
    for position in [*inside, *chosen]:
        if position in chosen and np.isfinite(nearest).all():
            assert nearest[position] >= nearest[free].max() * (1 - 1e-5) - 1e-5
        nearest = np.minimum(nearest, ((exact - exact[position]) ** 2).sum(-1))
        free[position] = False


def test_a_large_pool_is_passed_over_in_parts():
    features = np.random.default_rng(2).normal(size=(70_000, 4)).astype(np.float32)
    assert selection.k_center_greedy(features, 6, features[:3]).tolist() == greedy_centres(
        features, 6, list(features[:3].astype(np.float64))
    )


def test_k_center_does_not_pick_again_what_is_labelled():
    alike = np.zeros((6, 2), np.float32)
    assert sorted(selection.k_center_greedy(alike, 4, np.array([1, 4])).tolist()) == [0, 2, 3, 5]
    with pytest.raises(UserError, match="from 1 to 4"):
        selection.k_center_greedy(alike, 5, np.array([1, 4]))


def test_k_center_far_from_the_origin():
    assert selection.k_center_greedy(FEATURES + 1000, 9).tolist() == greedy_centres(FEATURES + 1000, 9, [])


def test_badge_draws_by_the_distance_of_the_embeddings():
    guess = np.eye(C)[PROBS[0].argmax(-1)]
    embeddings = np.einsum("nc,nd->ncd", PROBS[0] - guess, FEATURES).reshape(N, -1)
    first = int((embeddings**2).sum(-1).argmax())
    distances = ((embeddings - embeddings[first]) ** 2).sum(-1)
    picks = jax.vmap(lambda key: selection.badge(key, PROBS[0], FEATURES, 2))(jax.random.split(KEY, 4000))
    assert set(picks[:, 0].tolist()) == {first}
    np.testing.assert_allclose(np.bincount(picks[:, 1], minlength=N) / 4000, distances / distances.sum(), atol=0.025)


def test_badge_draws_exactly_though_its_distances_are_of_a_while_ago():
    """The third and the fourth pick: candidates of the pass before are taken or not."""
    guess = np.eye(C)[PROBS[0].argmax(-1)]
    embeddings = np.einsum("nc,nd->ncd", PROBS[0] - guess, FEATURES).reshape(N, -1)
    apart = ((embeddings[:, None] - embeddings) ** 2).sum(-1)
    first = int((embeddings**2).sum(-1).argmax())
    second, third, fourth = apart[first] / apart[first].sum(), np.zeros(N), np.zeros(N)
    for i in np.flatnonzero(second):
        nearest = np.minimum(apart[first], apart[i])
        chances = second[i] * nearest / nearest.sum()
        third += chances
        for j in np.flatnonzero(chances):
            nearer = np.minimum(nearest, apart[j])
            fourth += chances[j] * nearer / nearer.sum()
    picks = jax.vmap(lambda key: selection.badge(key, PROBS[0], FEATURES, 4))(jax.random.split(KEY, 6000))
    for place, expected in ((2, third), (3, fourth)):
        found = np.bincount(picks[:, place], minlength=N) / 6000
        np.testing.assert_allclose(found, expected, atol=0.02)
        deviation = (found - expected) / np.sqrt(np.maximum(expected * (1 - expected), 1e-9) / 6000)
        assert np.abs(deviation[expected > 1e-3]).max() < 4.5


def joint_information(probs, chosen):
    """Mutual information of the labels of ``chosen`` with the member, over all combinations."""
    joint = 0.0
    for labels in itertools.product(range(C), repeat=len(chosen)):
        p = np.mean(np.prod([probs[:, i, c] for i, c in zip(chosen, labels, strict=True)], axis=0))
        joint -= p * np.log(p) if p > 0 else 0.0
    conditional = -(probs * np.log(probs)).sum(-1).mean(0)
    return joint - conditional[list(chosen)].sum()


def test_batch_bald_is_greedy_in_the_joint_information():
    probs = PROBS.astype(np.float64)
    chosen = []
    for _ in range(4):
        rest = [i for i in range(N) if i not in chosen]
        chosen.append(max(rest, key=lambda i: joint_information(probs, [*chosen, i])))
    assert selection.batch_bald(KEY, PROBS, 4).tolist() == chosen
    # Sampled, it is nearly as good.
    sampled = selection.batch_bald(KEY, PROBS, 4, num_samples=16)
    assert joint_information(probs, sampled.tolist()) > 0.9 * joint_information(probs, chosen)


def test_batch_bald_does_not_pick_twins():
    """Members that are sure and split one way over an example, another way over the next, and agree on the last."""
    one, other, agreed = np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 0, 1]], np.eye(2)[[0, 0, 0, 0]]
    probs = np.stack([one, one, agreed, other, other], axis=1)
    assert 2 not in selection.top_k(jnp.array([1.0, 1, 0, 1, 1]), 4).tolist()  # single scores know no twins
    first, second = sorted(selection.batch_bald(KEY, probs, 2).tolist())
    assert first in (0, 1)
    assert second in (3, 4)


def test_typiclust_visits_every_region_that_has_no_label():
    centres = np.array([[0, 0], [10, 0], [0, 10], [10, 10]], np.float32)
    blobs = np.concatenate([c + 0.3 * RNG.normal(size=(20, 2)) for c in centres]).astype(np.float32)
    chosen = selection.typiclust(KEY, blobs, 2, labelled=np.array([0, 1, 20, 21]))
    assert {i // 20 for i in chosen.tolist()} == {2, 3}
    one = selection.typiclust(KEY, blobs[:20], 1)
    distances = np.sort(np.linalg.norm(blobs[:20, None] - blobs[None, :20], axis=-1), -1)[:, 1:]
    assert int(one[0]) == int(distances.mean(-1).argmin())  # 19 neighbours, all there are


def test_dataset_map_by_hand():
    probs = np.array([[1.0, 0.2, 0.5], [0.0, 0.4, 0.5]])
    mapped = selection.dataset_map(probs, probs > 0.45)
    np.testing.assert_allclose(mapped.confidence, [0.5, 0.3, 0.5])
    np.testing.assert_allclose(mapped.variability, [0.5, 0.1, 0.0], atol=1e-7)
    np.testing.assert_allclose(mapped.correctness, [0.5, 0.0, 1.0])
    assert selection.rank_outliers(mapped).tolist() == [1, 0, 2]
    assert selection.rank_outliers(mapped, by="confidence_variability").tolist() == [2, 1, 0]
    often = selection.dataset_map(np.array([[0.9, 0.3, 0.2], [0.9, 0.3, 0.6]]), np.ones((2, 3), bool))
    # Products 0, 0 and .08, sums .9, .3 and .6: of equal ones lots decide, the last is the last.
    assert int(selection.rank_outliers(often, by="confidence_variability")[-1]) == 2
    with pytest.raises(UserError, match="did you mean 'correctness'"):
        selection.rank_outliers(mapped, by="correctnes")


def test_clusters_that_lie_apart_are_found_from_any_seeds():
    grid = np.stack(np.meshgrid(*[np.arange(-2.0, 3.0)] * 2), -1).reshape(25, 1, 2)
    rng = np.random.default_rng(1)
    features = (grid + rng.normal(0, 1e-3, (25, 8, 2))).reshape(200, 2).astype(np.float32)
    for seed in range(3):
        found = np.asarray(k_means(jax.random.key(seed), features, 25)).reshape(25, 8)
        assert (found == found[:, :1]).all()
        assert len(set(found[:, 0].tolist())) == 25


@pytest.mark.parametrize("clusters", [1, 7, 35, 70])
def test_every_cluster_that_is_wanted_begins_somewhere_else(clusters):
    features = np.random.default_rng(0).normal(size=(70, 3)).astype(np.float32)
    found = np.asarray(k_means(jax.random.key(0), features, clusters))
    assert len(np.unique(found)) == clusters  # also where there is room for fewer examples than programs have centres
    if clusters == 70:
        return
    centres = np.stack([features[found == c].mean(0) for c in range(clusters)])
    np.testing.assert_array_equal(((features[:, None] - centres) ** 2).sum(-1).argmin(-1), found)
