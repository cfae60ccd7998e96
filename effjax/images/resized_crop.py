"""Random resized crop on the device."""

import jax
import jax.numpy as jnp

from effjax.images.boxes import Box, random_box
from effjax.images.checks import float_batch
from effjax.images.keys import per_example_keys
from effjax.images.warp import affine
from effjax.numerics import EXACT


def random_resized_crop(
    key: jax.Array,
    images: jax.Array,
    size: int | tuple[int, int],
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """Cuts a random box from each image and resizes it, bilinearly and antialiased, to one size.

    The same as to crop and then to resize with Pillow's ``BILINEAR``: where a box is larger than ``size``, the filter
    widens to cover it; no pixel outside the box has a part. A box that does not fit in ten draws gives way to the
    largest one in the middle with an allowed ratio.

    Args:
      key: one PRNG key, or one an example, ``[B]``.
      images: ``[B, H, W, C]``, float.
      size: of the result, in pixels: one number for both sides, or (height, width).
      scale: the least and the largest area of a box, as a share of the image's.
      ratio: the least and the largest width of a box over its height.

    Returns:
      ``[B, height, width, C]``, of the dtype of ``images``.

    Raises:
      AssertionError: if shapes do not fit, or ``images`` are integers.

    References:
      Szegedy et al., `Going deeper with convolutions <https://arxiv.org/abs/1409.4842>`_, 2015, sec. 6.
    """
    images = float_batch(images)
    height, width = images.shape[1:3]
    new_height, new_width = size if isinstance(size, tuple) else (size, size)

    def crop(key: jax.Array, image: jax.Array) -> jax.Array:
        box = _drawn(key, height, width, scale, ratio)
        rows = _weights(box.top, box.height, height, new_height)
        columns = _weights(box.left, box.width, width, new_width)
        # The default precision of a GPU or TPU would round the pixels.
        return jnp.einsum("yh,hwc,xw->yxc", rows, image, columns, precision=EXACT)

    return jax.vmap(crop)(per_example_keys(key, len(images)), images.astype(jnp.float32)).astype(images.dtype)


def resized_crop_matrices(
    keys: jax.Array,
    size: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> jax.Array:
    """What :func:`random_resized_crop` does to places in images of ``size``, which they keep.

    Args:
      keys: ``[B]``.
      size: (height, width), in pixels.
      scale: as there.
      ratio: as there.

    Returns:
      Maps ``[B, 2, 3]``, as ``warp`` has them.
    """

    def matrix(key: jax.Array) -> jax.Array:
        box = _drawn(key, *size, scale, ratio)
        return affine(box.width / size[1], 0, box.left, 0, box.height / size[0], box.top)

    return jax.vmap(matrix)(keys)


def _drawn(
    key: jax.Array, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Box[jax.Array]:
    box, fits = random_box(key, height, width, scale, ratio)
    return jax.tree.map(lambda drawn, central: jnp.where(fits, drawn, central), box, _central(height, width, ratio))


def _central(height: int, width: int, ratio: tuple[float, float]) -> Box[int]:
    shape = min(max(width / height, ratio[0]), ratio[1])
    box_height, box_width = min(height, round(width / shape)), min(width, round(height * shape))
    return Box((height - box_height) // 2, (width - box_width) // 2, box_height, box_width)


def _weights(start: jax.Array, length: jax.Array, source: int, size: int) -> jax.Array:
    """How much each of the ``source`` pixels counts in each of the ``size`` that a stretch of them becomes."""
    step = length / size
    reach = jnp.maximum(step, 1)
    centers = start + (jnp.arange(size) + 0.5) * step
    places = jnp.arange(source)
    triangle = jnp.maximum(0, 1 - jnp.abs(places + 0.5 - centers[:, None]) / reach)
    weights = jnp.where((places >= start) & (places < start + length), triangle, 0)
    return weights / weights.sum(1, keepdims=True)
