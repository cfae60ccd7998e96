"""Mixup and CutMix: who is mixed with whom, and by how much."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import images as ops
from effjax.errors import UserError

IMAGES = np.random.default_rng(0).random((8, 7, 6, 3), np.float32)
LABELS = np.eye(8, dtype=np.float32)  # a class each, so that a label tells the shares
KEYS = jax.random.split(jax.random.key(1), 8)
PARTNERS = np.arange(8) ^ 1
mixup, cutmix = jax.jit(ops.mixup), jax.jit(ops.cutmix)
MIXERS = pytest.mark.parametrize("mix", [mixup, cutmix], ids=["mixup", "cutmix"])


def own_shares(labels):
    """The share of its own label that each example keeps; fails if any but the partner has the rest."""
    labels = np.asarray(labels)
    own = labels[np.arange(8), np.arange(8)]
    np.testing.assert_allclose(own + labels[np.arange(8), PARTNERS], 1, atol=1e-6)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    return own


def test_mixup_blends_neighbours_by_one_share():
    images, labels = mixup(KEYS, IMAGES, LABELS)
    own = own_shares(labels)
    np.testing.assert_array_equal(own, own[PARTNERS])
    assert len(np.unique(own)) == 4
    own = own[:, None, None, None]
    np.testing.assert_allclose(images, own * IMAGES + (1 - own) * IMAGES[PARTNERS], atol=1e-6)


def test_cutmix_swaps_a_box_as_large_as_its_label():
    images, labels = (np.asarray(x) for x in cutmix(KEYS, IMAGES, LABELS))
    own = own_shares(labels)
    swapped = (images == IMAGES[PARTNERS]).all(-1)
    assert (swapped | (images == IMAGES).all(-1)).all()
    np.testing.assert_allclose(1 - swapped.mean((1, 2)), own, atol=1e-6)
    np.testing.assert_array_equal(swapped, swapped[PARTNERS])
    assert 0 < swapped.mean() < 1
    for box in swapped:
        assert box.sum() == box.any(1).sum() * box.any(0).sum()  # a rectangle
        for line in (box.any(1), box.any(0)):
            assert np.abs(np.diff(line.astype(int))).sum() <= 2  # in one piece


def test_boxes_of_cutmix_reach_every_edge_and_corner():
    keys = jax.random.split(jax.random.key(2), 256)
    images = np.stack([np.zeros((6, 5, 1)), np.ones((6, 5, 1))] * 128).astype(np.float32)
    cut = np.asarray(ops.cutmix(keys, images, np.tile(np.eye(2, dtype=np.float32), (128, 1)))[0])[::2, ..., 0]
    assert (cut.mean(0) > 0.05).all()


@MIXERS
def test_pairs_keep_their_result_wherever_they_are(mix):
    whole = mix(KEYS, IMAGES, LABELS)
    order = np.array([4, 5, 0, 1, 6, 7, 2, 3])
    for moved, result in zip(mix(KEYS[order], IMAGES[order], LABELS[order]), whole, strict=True):
        np.testing.assert_array_equal(moved, np.asarray(result)[order])
    for part, result in zip(mix(KEYS[2:6], IMAGES[2:6], LABELS[2:6]), whole, strict=True):
        np.testing.assert_array_equal(part, np.asarray(result)[2:6])


def test_jit_changes_nothing():
    for jitted, result in zip(mixup(KEYS, IMAGES, LABELS), ops.mixup(KEYS, IMAGES, LABELS), strict=True):
        np.testing.assert_allclose(jitted, result, atol=1e-6)


@MIXERS
def test_the_last_of_an_odd_batch_stays(mix):
    images, labels = mix(KEYS[:5], IMAGES[:5], LABELS[:5])
    np.testing.assert_array_equal(images[4], IMAGES[4])
    np.testing.assert_array_equal(labels[4], LABELS[4])
    np.testing.assert_array_equal(images[:4], mix(KEYS[:4], IMAGES[:4], LABELS[:4])[0])
    assert jax.eval_shape(mix, KEYS[:1], IMAGES[:1], LABELS[:1])[0].shape == IMAGES[:1].shape


def mixer_of_alpha(mix, side, pairs=400):
    """The shares that pairs keep, as a function of alpha."""
    keys = jax.random.split(jax.random.key(2), 2 * pairs)
    images, labels = jnp.zeros((2 * pairs, side, side, 1)), jnp.tile(jnp.eye(2), (pairs, 1))
    return jax.jit(lambda alpha: mix(keys, images, labels, alpha=alpha)[1][::2, 0])


def test_alpha_says_how_even_the_shares_are():
    mixed, cut = mixer_of_alpha(ops.mixup, 1), mixer_of_alpha(ops.cutmix, 64)
    extreme, uniform, even = (np.asarray(mixed(alpha)) for alpha in (0.01, 1.0, 1000.0))
    assert (np.minimum(extreme, 1 - extreme) < 0.01).mean() > 0.9
    assert 0.4 < extreme.mean() < 0.6
    assert np.abs(np.sort(uniform) - np.linspace(0, 1, 400)).max() < 0.1  # Kolmogorov-Smirnov, p < 0.001
    assert np.abs(even - 0.5).max() < 0.06
    assert 0.45 < cut(1000.0).min() < 0.55  # half of the area, less what lies outside
    assert cut(1000.0).max() < 0.95
    assert (cut(0.01) > 0.99).mean() > 0.3


@MIXERS
def test_dtypes_stay(mix):
    half = jnp.asarray(IMAGES, jnp.bfloat16), jnp.asarray(LABELS, jnp.bfloat16)
    images, labels = jax.eval_shape(mix, jax.random.key(0), *half)
    assert images.dtype == labels.dtype == jnp.bfloat16


@MIXERS
def test_wrong_input_is_refused(mix):
    with pytest.raises(UserError, match="int32 cannot be mixed: give distributions"):
        mix(KEYS, IMAGES, np.arange(8, dtype=np.int32))
    with pytest.raises(AssertionError):
        mix(KEYS, IMAGES, LABELS[:4])
    with pytest.raises(AssertionError):
        mix(KEYS, (IMAGES * 255).astype(np.uint8), LABELS)


@MIXERS
def test_gradients_are_finite_and_reach_both(mix):
    def total(images):
        return jnp.square(mix(KEYS, images, LABELS)[0]).sum()

    gradient = jax.jit(jax.grad(total))(IMAGES)
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any((1, 2, 3)).all()
