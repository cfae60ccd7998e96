"""Boxes, points and masks lie where their pixels are, whatever moves these; what leaves the image is lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.images.operations import MAX_LEVEL, WARPS
from effjax.images.targets import Boxes, Masks, Points, follow
from effjax.images.warp import affine, warp

SIZE = (40, 52)
STAY = affine(1, 0, 0, 0, 1, 0)


def rectangle(top, left, bottom, right, size=SIZE):
    image = np.zeros((*size, 1), np.float32)
    image[top:bottom, left:right] = 1
    return image


def bright_box(image):
    """The box around the pixels that are lighter than what warps fill in, in pixels."""
    rows, columns = np.nonzero(np.asarray(image)[..., 0] > 0.55)
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


@pytest.mark.parametrize("name", WARPS)
@pytest.mark.parametrize("level", [-MAX_LEVEL, -4.0, 4.0, MAX_LEVEL])
def test_what_a_warp_moves_stays_in_its_box(name, level):
    matrix = WARPS[name](level, *SIZE)[None]
    image = rectangle(14, 20, 26, 31)
    boxes = jnp.array([[14 / 40, 20 / 52, 26 / 40, 31 / 52]])
    points = jnp.array([[20 / 40, 25.5 / 52]])
    fields = {"boxes": boxes, "points": points, "mask": image[..., 0] > 0.5}
    found = follow(fields, {"boxes": Boxes(), "points": Points(), "mask": Masks()}, matrix, SIZE)
    moved = np.asarray(warp(image, matrix[0]))
    pixels = np.tile(SIZE, 2)
    bright = bright_box(moved)
    assert (np.abs(found["boxes"][0] * pixels - bright) <= 1.0).all()
    if (bright[:2] > 0).all() and (bright[2:] < SIZE).all():  # nothing was cut off
        weights = moved[..., 0] * (moved[..., 0] > 0.55)
        places = (weights.sum(1 - axis) @ (np.arange(SIZE[axis]) + 0.5) for axis in (0, 1))
        np.testing.assert_allclose(found["points"][0] * np.array(SIZE), np.array([*places]) / weights.sum(), atol=0.5)
    edge = 2 * np.ptp(bright.reshape(2, 2), 0).sum()
    assert (np.asarray(found["mask"]) != (moved[..., 0] > 0.55)).sum() <= edge / 2


def test_boxes_are_cut_and_lost_by_the_share_that_is_left():
    # 10 pixels to the right, in an image of 20×20.
    matrix = affine(1, 0, -10, 0, 1, 0)[None]
    boxes = jnp.array(
        [[0, 0.2, 0.5, 0.4], [0.1, 0.4, 0.2, 0.8], [0, 0.45, 1, 0.95], [0, 0.6, 1, 1], [0.3, 0.3, 0.3, 0.3]]
    )
    found, left = Boxes(least=0.2).moved(boxes, matrix, (20, 20))
    np.testing.assert_allclose(found[:3], [[0, 0.7, 0.5, 0.9], [0.1, 0.9, 0.2, 1], [0, 0.95, 1, 1]], atol=1e-6)
    assert left.tolist() == [True, True, False, False, False]  # shares of 1, ¼, 0.1, 0; and no area
    assert Boxes(least=0.09).moved(boxes, matrix, (20, 20))[1].tolist() == [True, True, True, False, False]


def test_a_box_that_was_cut_does_not_grow_again():
    there, back = affine(1, 0, -10, 0, 1, 0), affine(1, 0, 10, 0, 1, 0)
    found, left = Boxes().moved(jnp.array([0, 0.25, 1, 0.75]), jnp.stack([there, back]), (20, 20))
    np.testing.assert_allclose(found, [0, 0.25, 1, 0.5], atol=1e-6)
    assert bool(left)
    assert not Boxes(least=0.6).moved(jnp.array([0, 0.25, 1, 0.75]), jnp.stack([there, back]), (20, 20))[1]


def test_padding_stays_and_what_is_lost_looks_like_zeros():
    fields = {
        "boxes": jnp.array([[0, 0, 0.5, 0.4], [0, 0.6, 1, 1], [-1, -1, -1, -1.0]]),
        "valid": jnp.array([1, 1, 0], jnp.uint8),
        "corners": jnp.array([[[0.1, 0.1], [0.2, 0.9]], [[0.1, 0.9], [0.2, 0.8]], [[7, 7], [7, 7.0]]]),
        "seen": jnp.array([[True, True], [True, True], [False, False]]),
        "class": jnp.arange(3),
    }
    matrix = affine(1, 0, -10, 0, 1, 0)[None]
    found = follow(fields, {"boxes": Boxes(), "corners": Points("seen")}, matrix, (20, 20))
    assert set(found) == {"boxes", "valid", "corners", "seen"}
    np.testing.assert_allclose(found["boxes"], [[0, 0.5, 0.5, 0.9], [0] * 4, [-1] * 4], atol=1e-6)
    assert found["valid"].tolist() == [1, 0, 0]
    assert found["valid"].dtype == jnp.uint8
    assert found["seen"].tolist() == [[True, False], [False, False], [False, False]]
    np.testing.assert_allclose(found["corners"][0], [[0.1, 0.6], [0, 0]], atol=1e-6)
    np.testing.assert_array_equal(found["corners"][2], 7)
    # Spoken of together, an entry is lost with the last of its points, and with its box.
    both = follow(fields, {"boxes": Boxes(), "corners": Points("valid")}, matrix, (20, 20))
    assert both["valid"].tolist() == [1, 0, 0]
    np.testing.assert_allclose(both["corners"][0, 1], [0.2, 1.4], atol=1e-6)


def test_without_a_field_of_validity_boxes_are_cut_and_points_go_where_they_go():
    matrix = affine(1, 0, -10, 0, 1, 0)[None]
    fields = {"box": jnp.array([0, 0.6, 1, 1]), "point": jnp.array([0.5, 0.75])}
    found = follow(fields, {"box": Boxes(), "point": Points()}, matrix, (20, 20))
    np.testing.assert_allclose(found["box"], [0, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(found["point"], [0.5, 1.25], atol=1e-6)
    assert set(found) == {"box", "point"}


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float32])
def test_masks_have_the_images_axes_first_or_last_and_are_filled(dtype):
    first = np.arange(3 * 5 * 4).reshape(3, 5, 4).astype(dtype)
    matrix = affine(1, 0, -2, 0, 1, 1)[None]  # two to the right, one up
    expected = np.full((3, 5, 4), 1, dtype)
    expected[:2, 2:] = first[1:, :3]
    found, left = Masks(fill=1).moved(jnp.asarray(first), matrix, (3, 5))
    np.testing.assert_array_equal(found, expected)
    assert left is None
    last, _ = Masks(fill=1).moved(jnp.asarray(np.moveaxis(first, -1, 0)), matrix, (3, 5))
    np.testing.assert_array_equal(last, np.moveaxis(expected, -1, 0))
    assert last.dtype == dtype
    with pytest.raises(ValueError, match="neither"):
        Masks().moved(jnp.zeros((4, 4)), matrix, (3, 5))


def test_gradients_flow_through_points():
    matrix = WARPS["Rotate"](5.0, *SIZE)[None]
    gradient = jax.grad(lambda points: Points().moved(points, matrix, SIZE)[0].sum())(jnp.array([[0.5, 0.25]]))
    assert np.isfinite(gradient).all()
    assert (gradient != 0).all()
    np.testing.assert_allclose(Points().moved(jnp.array([0.3, 0.2]), STAY[None], SIZE)[0], [0.3, 0.2], atol=1e-6)
