"""Sets that are small enough to be read once and kept whole, on the host or on a device."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np

from effjax.data.base import Source
from effjax.data.pipeline import stack
from effjax.errors import UserError


def nbytes(source: Source, features: Sequence[str] = ("image",)) -> float:
    """Bytes that some features of all examples take, or ``math.inf`` where one is ragged and so cannot be an array."""
    specs = [source.info.features[name] for name in features if name in source.info.features]
    if any(spec.is_ragged for spec in specs):
        return math.inf
    return len(source) * sum(math.prod(cast("tuple[int, ...]", spec.shape)) * spec.dtype.itemsize for spec in specs)


def as_arrays(source: Source) -> dict[str, np.ndarray]:
    """Reads a whole source.

    Args:
      source: whose images have one size.

    Returns:
      ``{"image": uint8 [N, H, W, C], "label": int32 [N], "id": int32 [N], …}`` in row order.

    Raises:
      UserError: if images differ in size.
    """
    if source.info.image_shape is None:
        raise UserError(
            f"images of {source.info.name!r} differ in size and cannot be kept in one array: set image_size, e.g. 224"
        )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return stack(list(pool.map(source.__getitem__, range(len(source)))))
