"""The types that signatures share."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

#: An array, on a device or in memory: functions that take one move it to where it is needed.
Array = jax.Array | np.ndarray
#: A device, of which JAX says no type.
Device = Any
#: Examples by feature, each ``[B, …]``.
Batch = Mapping[str, jax.Array]
#: A tree of arrays whose structure is somebody else's: a network's variables, an optimiser's state.
PyTree = Any
