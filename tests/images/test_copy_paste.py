"""Copy-paste against a reference that goes pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.images import copy_paste

SIDE, ROOM = 12, 4


def batch(count: int, seed: int = 0):
    """Images of noise, with boxes on whole pixels."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, SIDE, SIDE, 2), np.float32)
    boxes, valid = np.zeros((count, ROOM, 4), np.float32), rng.random((count, ROOM)) < 0.6
    for i in range(count):
        for j in np.flatnonzero(valid[i]):
            top, left = rng.integers(0, SIDE - 3, 2)
            boxes[i, j] = np.array([top, left, top + rng.integers(2, 7), left + rng.integers(2, 7)]).clip(0, SIDE)
    labels = np.where(valid, rng.integers(1, 9, valid.shape), 0)
    return images, boxes / SIDE, valid, labels


def drawn_by(keys, probability):
    return np.stack([np.asarray(jax.random.bernoulli(key, probability, (ROOM,))) for key in keys])


def reference(images, boxes, valid, labels, drawn):
    """What becomes of the batch, one pixel and one object after the other."""
    found = [array.copy() for array in (images, boxes, valid, labels)]
    for i in range(len(images) // 2 * 2):
        other, mask = i ^ 1, np.zeros((SIDE, SIDE), bool)
        pixels = np.round(boxes * SIDE).astype(int)
        chosen = [j for j in range(ROOM) if valid[other, j] and drawn[i, j]]
        for j in chosen:
            y0, x0, y1, x1 = pixels[other, j]
            mask[y0:y1, x0:x1] = True

        def share(of, j, mask=mask, pixels=pixels):
            y0, x0, y1, x1 = pixels[of, j]
            return mask[y0:y1, x0:x1].mean()

        own = [(boxes[i, j], labels[i, j]) for j in range(ROOM) if valid[i, j] and share(i, j) <= 0.75]
        came = [j for j in range(ROOM) if valid[other, j] and (j in chosen or share(other, j) > 0.75)]
        both = own + [(boxes[other, j], labels[other, j]) for j in came]
        if not chosen or len(both) > ROOM:
            continue
        found[0][i][mask] = images[other][mask]
        found[1][i], found[2][i], found[3][i] = 0, False, 0
        for j, (box, label) in enumerate(both):
            found[1][i, j], found[2][i, j], found[3][i, j] = box, True, label
    return found


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_pixels_and_objects_are_those_of_the_reference(probability):
    images, boxes, valid, labels = batch(41)
    keys = jax.random.split(jax.random.key(3), 41)
    found = jax.jit(lambda *a: copy_paste(keys, *a[:3], {"label": a[3]}, probability=probability))(
        images, boxes, valid, labels
    )
    expected = reference(images, boxes, valid, labels, drawn_by(keys, probability))
    changed = (expected[0] != images).any((1, 2, 3))
    assert 8 < changed.sum() < 41  # some have no neighbour, nothing to paste, or no room
    for ours, theirs in zip((*found[:3], found[3]["label"]), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype or ours.dtype == jnp.int32


def test_a_batch_in_parts_is_pasted_alike():
    images, boxes, valid, _ = batch(8, seed=1)
    keys = jax.random.split(jax.random.key(0), 8)
    whole = copy_paste(keys, images, boxes, valid)
    half = copy_paste(keys[4:], images[4:], boxes[4:], valid[4:])
    for ours, theirs in zip(whole[:3], half[:3], strict=True):
        np.testing.assert_array_equal(ours[4:], theirs)


def test_nothing_is_pasted_without_a_chance():
    images, boxes, valid, _ = batch(6)
    found = copy_paste(jax.random.key(0), images, boxes, valid, probability=0.0)
    for ours, theirs in zip(found[:3], (images, boxes, valid), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_does_not_fit_is_refused():
    images, boxes, valid, _ = batch(4)
    for given in (
        (np.uint8(255 * images), boxes, valid),
        (images, boxes[:2], valid[:2]),
        (images, boxes[..., :2], valid),
        (images, boxes, valid[:, :1]),
        (images, boxes[:, :1], valid),
    ):
        with pytest.raises(AssertionError):
            copy_paste(jax.random.key(0), *given)
