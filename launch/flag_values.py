"""What flags may be, said before anything is done: absl's own bounds let NaN and empty texts pass."""

import math

from absl import flags


def finite(name: str) -> None:
    """Refuses a number that is NaN or infinite."""
    flags.register_validator(name, lambda v: v is None or math.isfinite(v), "must be a finite number")


def above_0(name: str) -> None:
    """Refuses a number that is not above 0, or is none."""
    said = "must be a finite number above 0"
    flags.register_validator(name, lambda v: v is None or (math.isfinite(v) and v > 0), said)
