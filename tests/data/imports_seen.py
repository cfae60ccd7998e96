"""What a reading process has imported, said by it; imports nothing itself that takes long."""

import sys

import numpy as np


def note(example: dict) -> dict:
    """Writes into the label whether JAX or Grain are there."""
    return {**example, "label": np.int32("jax" in sys.modules or "grain" in sys.modules)}
