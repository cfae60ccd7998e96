"""A picture of what augmentation does to a few images."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from effjax import images as ops
from effjax.images.operations import OPERATIONS
from effjax.reports.contact_sheet import contact_sheet

_LEVEL = 9.0  # of the single operations


def augmentation_sheet(
    images: np.ndarray, seed: int = 0, magnitudes: Sequence[float] = (0, 1, 3, 5, 7, 9), *, cell: int = 96
) -> Image.Image:
    """Shows a row of images as they are, under rising magnitudes, each single operation, and what erases and mixes.

    A column keeps its random draws over all magnitudes: what changes from row to row is the strength alone. Single
    operations go one way in even columns and the other way in odd ones.

    Args:
      images: uint8 ``[B, H, W, 1 or 3]``, a column each; at least two, so that there is something to mix.
      seed: of all draws.
      magnitudes: of RandAugment, a row each.
      cell: the side of a picture on the page, in pixels.

    Returns:
      The page, RGB.
    """
    pixels = jnp.asarray(images, jnp.float32) / 255
    key = jax.random.key(seed)
    augment = jax.jit(ops.random_augment)
    rows = {"as it is": pixels}
    rows |= {f"magnitude {magnitude:g}": augment(key, pixels, magnitude) for magnitude in magnitudes}
    levels = jnp.where(jnp.arange(len(pixels)) % 2 == 0, _LEVEL, -_LEVEL)
    rows |= {f"{name} {_LEVEL:g}": _each(operation)(pixels, levels) for name, operation in OPERATIONS.items()}
    labels = jnp.eye(len(pixels))  # the pictures do not show them
    rows |= {
        "resized crop": jax.jit(partial(ops.random_resized_crop, size=min(pixels.shape[1:3])))(key, pixels),
        "erasing": jax.jit(partial(ops.random_erasing, probability=1.0))(key, pixels),
        "mixup": jax.jit(ops.mixup)(key, pixels, labels)[0],
        "cutmix": jax.jit(ops.cutmix)(key, pixels, labels)[0],
    }
    return contact_sheet({caption: list(_to_bytes(row)) for caption, row in rows.items()}, cell=cell)


def _each(operation: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return jax.jit(jax.vmap(operation))


def _to_bytes(pixels: jax.Array) -> np.ndarray:
    return np.asarray(jnp.round(jnp.clip(pixels, 0, 1) * 255).astype(jnp.uint8))
